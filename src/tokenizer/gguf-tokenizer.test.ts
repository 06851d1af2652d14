import { describe, expect, it } from "vitest";
import { ggufVocabularyFile } from "../../test/golden/tokenizer-cases.ts";
import { FormatError, UnsupportedError } from "../errors.ts";
import type { GgufValue } from "../formats/model-file.ts";
import { createGgufTokenizer } from "./gguf-tokenizer.ts";
import { TOKEN_TYPE } from "./gguf-vocabulary.ts";
import {
  bytePairMetadata,
  sentencePieceMetadata,
  wordPieceMetadata,
} from "../../test/golden/tokenizer-vocabularies.ts";

const ORDINARY = { addSpecial: false, parseSpecial: false };
const PARSED = { addSpecial: false, parseSpecial: true };
const ADDED = { addSpecial: true, parseSpecial: false };

const create = (metadata: Record<string, GgufValue>, architecture = "llama") =>
  createGgufTokenizer(ggufVocabularyFile(metadata, architecture));

describe("SentencePiece vocabularies", () => {
  const metadata = sentencePieceMetadata();
  const tokenizer = create(metadata);
  const id = (text: string): number => (metadata["tokenizer.ggml.tokens"] as string[]).indexOf(text);

  it("merges by score", () => {
    expect(tokenizer.encode("hello", ORDINARY)).toEqual([id("▁hel"), id("lo")]);
    expect(tokenizer.encode("a  b", ORDINARY)).toEqual([id("▁"), id("a"), id("▁▁"), id("b")]);
  });

  it("falls back to bytes", () => {
    expect(tokenizer.encode("é", ORDINARY)).toEqual([id("▁"), id("<0xC3>"), id("<0xA9>")]);
    expect(tokenizer.encode("\uD800", ORDINARY)).toEqual([id("▁"), id("<0xEF>"), id("<0xBF>"), id("<0xBD>")]);
  });

  it("adds BOS, and what the file asks for", () => {
    expect(tokenizer.encode("", ADDED)).toEqual([1]);
    const both = create({ ...metadata, "tokenizer.ggml.add_eos_token": true });
    expect(both.encode("", ADDED)).toEqual([1, 2]);
    const none = create({ ...metadata, "tokenizer.ggml.add_bos_token": false });
    expect(none.encode("", ADDED)).toEqual([]);
    const bare = create({ ...metadata, "tokenizer.ggml.add_space_prefix": false });
    expect(bare.encode("a", ORDINARY)).toEqual([id("a")]);
    expect(bare.decode([id("▁hel")])).toBe(" hel");
  });

  it("parses control tokens only when asked", () => {
    expect(tokenizer.encode("</s>a", PARSED)).toEqual([2, id("▁"), id("a")]);
    const asText = tokenizer.encode("</s>a", ORDINARY);
    expect(asText).not.toContain(2);
    expect(tokenizer.decode(asText)).toBe("</s>a");
  });

  it("always finds user-defined tokens", () => {
    expect(tokenizer.encode("a<user>b", ORDINARY)).toEqual([
      id("▁"),
      id("a"),
      id("<user>"),
      id("▁"),
      id("b"),
    ]);
    expect(tokenizer.decode(tokenizer.encode("a<user>b", ORDINARY))).toBe("a<user>b");
  });

  it("renders control tokens only when asked, and drops the space that follows them", () => {
    const ids = [1, id("▁hel"), id("lo"), 2, id("▁hel")];
    expect(tokenizer.decode(ids)).toBe("hellohel");
    expect(tokenizer.decode(ids, { special: true })).toBe("<s>hello</s>hel");
  });

  it("gives ids outside the vocabulary no text", () => {
    expect(tokenizer.decode([id("▁hel"), 99_999, id("lo")])).toBe("hello");
    expect(tokenizer.tokenText(99_999)).toBeUndefined();
    expect(tokenizer.tokenText(id("▁hel"))).toBe("▁hel");
    expect(tokenizer.vocabularySize).toBe((metadata["tokenizer.ggml.tokens"] as string[]).length);
  });

  it("merges across spaces where the vocabulary does", () => {
    const tokens = [...(metadata["tokenizer.ggml.tokens"] as string[]), "a▁b"];
    const types = [...(metadata["tokenizer.ggml.token_type"] as number[]), TOKEN_TYPE.normal];
    const scores = [...(metadata["tokenizer.ggml.scores"] as number[]), 0];
    // "a▁b" needs "a▁" on the way there.
    const crossing = create({
      ...metadata,
      "tokenizer.ggml.tokens": [...tokens, "a▁"],
      "tokenizer.ggml.token_type": [...types, TOKEN_TYPE.normal],
      "tokenizer.ggml.scores": [...scores, -1],
    });
    expect(crossing.encode("a b", ORDINARY)).toEqual([id("▁"), tokens.length - 1]);
  });

  it("restores the whitespace that Phi-3's tokens swallow", () => {
    const phi3 = create(metadata, "phi3");
    const parsed = (text: string, file = phi3) => file.encode(text, PARSED);
    expect(parsed("</s>\na")).toEqual([2, id("▁"), id("a")]);
    expect(parsed("<s>\na")).toEqual([1, id("▁"), id("<0x0A>"), id("a")]);
    expect(parsed("</s>\na", tokenizer)).toEqual([2, id("▁"), id("<0x0A>"), id("a")]);
  });
});

describe("byte-level BPE vocabularies", () => {
  const metadata = bytePairMetadata();
  const tokenizer = create(metadata);
  const id = (text: string): number => (metadata["tokenizer.ggml.tokens"] as string[]).indexOf(text);

  it("merges by rank inside words", () => {
    expect(tokenizer.encode("hello hell", ORDINARY)).toEqual([id("hell"), id("o"), id("Ġ"), id("hell")]);
    expect(tokenizer.encode("é", ORDINARY)).toEqual([id("Ã"), id("©")]);
  });

  it("adds no BOS unless the file or its pre-tokenizer says so", () => {
    expect(tokenizer.encode("", ADDED)).toEqual([]);
    const llama3 = create({ ...metadata, "tokenizer.ggml.pre": "llama-bpe" });
    expect(llama3.encode("", ADDED)).toEqual([tokenizer.bosId]);
    expect(create({ ...metadata, "tokenizer.ggml.add_bos_token": true }).encode("", ADDED)).toEqual([
      tokenizer.bosId,
    ]);
  });

  it("collects end tokens by id and by text", () => {
    expect(tokenizer.endIds).toEqual(new Set([id("<|endoftext|>"), id("<|im_end|>")]));
    const named = create({ ...metadata, "tokenizer.ggml.eot_token_id": id("<|im_start|>") });
    expect(named.endIds.has(id("<|im_start|>"))).toBe(true);
  });

  it("writes whole words without merging where the pre-tokenizer says so", () => {
    const tokens = [...(metadata["tokenizer.ggml.tokens"] as string[]), "yes"];
    const types = [...(metadata["tokenizer.ggml.token_type"] as number[]), TOKEN_TYPE.normal];
    const extended = { ...metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types };
    expect(create(extended).encode("yes", ORDINARY)).toEqual([id("y"), id("e"), id("s")]);
    const whole = create({ ...extended, "tokenizer.ggml.pre": "llama-bpe" });
    expect(whole.encode("yes", ORDINARY)).toEqual([tokens.length - 1]);
  });

  it("says so when a byte has no token", () => {
    const tokens = (metadata["tokenizer.ggml.tokens"] as string[]).map((token) =>
      token === "z" ? "zz" : token,
    );
    const holed = create({ ...metadata, "tokenizer.ggml.tokens": tokens });
    expect(() => holed.encode("z", ORDINARY)).toThrow(UnsupportedError);
    const types = [...(metadata["tokenizer.ggml.token_type"] as number[]), TOKEN_TYPE.unknown];
    const withUnknown = {
      ...metadata,
      "tokenizer.ggml.tokens": [...tokens, "<unk>"],
      "tokenizer.ggml.token_type": types,
      "tokenizer.ggml.unknown_token_id": tokens.length,
    };
    expect(create(withUnknown).encode("z", ORDINARY)).toEqual([tokens.length]);
    // An end of text is not taken for an unknown token, even where the file says so.
    const ending = { ...withUnknown, "tokenizer.ggml.unknown_token_id": id("<|endoftext|>") };
    expect(() => create(ending).encode("z", ORDINARY)).toThrow(UnsupportedError);
  });
});

describe("WordPiece vocabularies", () => {
  const metadata = wordPieceMetadata();
  const tokenizer = create(metadata, "bert");
  const id = (text: string): number => (metadata["tokenizer.ggml.tokens"] as string[]).indexOf(text);

  it("takes the longest pieces, unknown words whole", () => {
    expect(tokenizer.encode("Hugging, HÛG!", ORDINARY)).toEqual([
      id("▁hug"),
      id("ging"),
      id("▁,"),
      id("▁hug"),
      id("▁!"),
    ]);
    expect(tokenizer.encode("hugx", ORDINARY)).toEqual([id("[UNK]")]);
    expect(tokenizer.encode("hug".repeat(40), ORDINARY)).toEqual([id("[UNK]")]);
  });

  it("adds [CLS] and [SEP]", () => {
    expect(tokenizer.encode("hug", ADDED)).toEqual([id("[CLS]"), id("▁hug"), id("[SEP]")]);
    expect(tokenizer.decode(tokenizer.encode("hugging hug", ADDED))).toBe("hugging hug");
  });
});

describe("damaged or unknown GGUF vocabularies", () => {
  const metadata = sentencePieceMetadata();
  const without = (key: string): Record<string, GgufValue> =>
    Object.fromEntries(Object.entries(metadata).filter(([name]) => name !== `tokenizer.ggml.${key}`));

  it.each([
    ["no model", without("model"), UnsupportedError, /no tokenizer.*tokenizer\.ggml\.model/],
    ["no tokens", without("tokens"), UnsupportedError, /no tokenizer/],
    [
      "another model",
      { ...metadata, "tokenizer.ggml.model": "t5" },
      UnsupportedError,
      /llama, gpt2, bert.*"t5"/,
    ],
    [
      "an inherited name",
      { ...metadata, "tokenizer.ggml.model": "constructor" },
      UnsupportedError,
      /unknown/,
    ],
    ["no scores", without("scores"), FormatError, /tokenizer\.ggml\.scores/],
    ["few scores", { ...metadata, "tokenizer.ggml.scores": [0] }, FormatError, /one per token, got 1/],
    ["mixed tokens", { ...metadata, "tokenizer.ggml.tokens": ["a", 1] }, FormatError, /array of strings/],
    ["an id too large", { ...metadata, "tokenizer.ggml.bos_token_id": 1e6 }, FormatError, /token id below/],
    [
      "an id that is text",
      { ...metadata, "tokenizer.ggml.eos_token_id": "2" },
      FormatError,
      /token id below/,
    ],
    ["a flag that is a number", { ...metadata, "tokenizer.ggml.add_bos_token": 1 }, FormatError, /a boolean/],
    ["an unknown type", badTypes(metadata), FormatError, /types from 1 to 6, got 9/],
    ["no bytes", withoutBytes(metadata), FormatError, /no token for byte 0/],
    ["no merges", { ...metadata, "tokenizer.ggml.model": "gpt2" }, FormatError, /tokenizer\.ggml\.merges/],
    [
      "another pre-tokenizer",
      { ...bytePairMetadata(), "tokenizer.ggml.pre": "x" },
      UnsupportedError,
      /qwen2.*got "x"/,
    ],
  ])("%s", (_, broken, errorClass, message) => {
    expect(() => create(broken as Record<string, GgufValue>)).toThrow(errorClass);
    expect(() => create(broken as Record<string, GgufValue>)).toThrow(message);
  });

  it("reads 2^32 - 1 as no token, and infers types that are not written", () => {
    const tokenizer = create({ ...without("token_type"), "tokenizer.ggml.eos_token_id": 0xffffffff });
    expect(tokenizer.eosId).toBeUndefined();
    expect(tokenizer.encode("<s>", PARSED)).toEqual([1]);
  });
});

function badTypes(metadata: Record<string, GgufValue>): Record<string, GgufValue> {
  const types = (metadata["tokenizer.ggml.token_type"] as number[]).map((type, i) => (i === 3 ? 9 : type));
  return { ...metadata, "tokenizer.ggml.token_type": types };
}

function withoutBytes(metadata: Record<string, GgufValue>): Record<string, GgufValue> {
  const types = (metadata["tokenizer.ggml.token_type"] as number[]).map((type) =>
    type === TOKEN_TYPE.byte ? TOKEN_TYPE.unused : type,
  );
  const { "tokenizer.ggml.unknown_token_id": _, ...rest } = metadata;
  return { ...rest, "tokenizer.ggml.token_type": types };
}
