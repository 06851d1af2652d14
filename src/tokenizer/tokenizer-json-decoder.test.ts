import { describe, expect, it } from "vitest";
import { FormatError, UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/model-file.ts";
import { compileDecoder } from "./tokenizer-json-decoder.ts";

function decode(config: JsonObject | null, tokens: readonly string[]): string {
  const decodeToken = compileDecoder("test", config);
  const bytes = tokens.flatMap((token, i) => [...decodeToken(token, i === 0)]);
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

const LLAMA = {
  type: "Sequence",
  decoders: [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: 1, stop: 0 },
  ],
};

describe("compileDecoder", () => {
  it("decodes byte-level tokens", () => {
    expect(decode({ type: "ByteLevel" }, ["Hel", "lo", "Ġwor", "ld", "Ã", "©"])).toBe("Hello world\u00e9");
  });

  it("decodes SentencePiece tokens, dropping the first space only", () => {
    expect(decode(LLAMA, ["▁Hello", "▁", "▁x", "<0xC3>", "<0xA9>", "<0xZZ>"])).toBe("Hello  xé<0xZZ>");
    expect(decode(LLAMA, ["▁▁a"])).toBe(" a");
    expect(decode(LLAMA, ["a", "▁b"])).toBe("a b");
  });

  it("decodes Metaspace tokens", () => {
    const metaspace = { type: "Metaspace", replacement: "▁" };
    expect(decode({ ...metaspace, prepend_scheme: "always" }, ["▁a", "▁b"])).toBe("a b");
    expect(decode({ ...metaspace, prepend_scheme: "never" }, ["▁a", "▁b"])).toBe(" a b");
  });

  it("decodes WordPiece tokens", () => {
    const wordPiece = { type: "WordPiece", prefix: "##", cleanup: true };
    expect(decode(wordPiece, ["hug", "##ging", "face", ".", "it", "'s", "?"])).toBe("hugging face. it's?");
    expect(decode({ ...wordPiece, cleanup: false }, ["hi", "."])).toBe("hi .");
  });

  it("strips each token where the strip comes before Fuse", () => {
    const strip = { type: "Strip", content: "_", start: 2, stop: 1 };
    expect(decode(strip, ["___a__", "_b"])).toBe("_a_b");
  });

  it("joins tokens with spaces without a decoder", () => {
    expect(decode(null, ["a", "b"])).toBe("a b");
  });

  it("refuses what it cannot stream, by name", () => {
    expect(() => compileDecoder("x", { type: "CTC" })).toThrow(UnsupportedError);
    expect(() => compileDecoder("x", { type: "CTC" })).toThrow(/ByteLevel.*got "CTC"/);
    const fuse = { type: "Fuse" };
    const strip = { type: "Strip", content: " ", start: 0, stop: 1 };
    expect(() => compileDecoder("x", { type: "Sequence", decoders: [fuse, strip] })).toThrow(/stream/);
    expect(() =>
      compileDecoder("x", { type: "Sequence", decoders: [fuse, { type: "ByteFallback" }] }),
    ).toThrow(/stream/);
  });

  it("refuses malformed ones", () => {
    expect(() => compileDecoder("x", { type: "Replace" })).toThrow(FormatError);
    expect(() => compileDecoder("x", { type: "Strip" })).toThrow(FormatError);
    expect(() => compileDecoder("x", { type: "Sequence", decoders: [1] })).toThrow(FormatError);
    const badRegex = { type: "Replace", pattern: { Regex: "(" }, content: "" };
    expect(() => compileDecoder("x", badRegex)).toThrow(FormatError);
  });
});
