/**
 * Properties of every tokenizer: any text survives encoding and decoding, and streaming gives the text of decoding
 * all ids at once, whole characters at a time, even for ids that no text would give.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createGgufTokenizer } from "../../src/tokenizer/gguf-tokenizer.ts";
import { createLibraryTokenizer } from "../../src/tokenizer/library-tokenizer.ts";
import { loadTokenizer } from "../../src/tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import {
  ggufVocabularyFile,
  huggingFaceFolder,
  llama3Tokenizer,
  openVocabulary,
  readTokenizerData,
} from "../golden/tokenizer-cases.ts";
import {
  bytePairMetadata,
  sentencePieceMetadata,
  wordPieceMetadata,
} from "../golden/tokenizer-vocabularies.ts";
import { dataPath, describeWithData } from "../shared-data.ts";

const REPLACEMENT = "\uFFFD";
const ORDINARY = { addSpecial: false, parseSpecial: false };
const PARSED = { addSpecial: false, parseSpecial: true };
const SYMMETRIC = { spacesAreSymmetric: true };

/** Any characters, with those that tokenizers treat specially more often. U+2581 is SentencePiece's space. */
const anyText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        " ",
        "  ",
        "\n",
        "\t",
        "'s",
        "12",
        "a",
        "hello",
        "é",
        "한",
        "👍🏽",
        "<s>",
        "</s>",
        "<|im_end|>",
      ),
      fc.string({ unit: "binary", minLength: 1, maxLength: 3 }),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join("").replaceAll("▁", "_"));

function stream(tokenizer: Tokenizer, ids: readonly number[], special: boolean): string[] {
  const decoder = tokenizer.decoder({ special });
  return [...ids.map((id) => decoder.push(id)), decoder.end()];
}

function checkStreaming(tokenizer: Tokenizer): void {
  const id = fc.integer({ min: 0, max: tokenizer.vocabularySize });
  fc.assert(
    fc.property(fc.array(id, { maxLength: 40 }), fc.boolean(), (ids, special) => {
      const pieces = stream(tokenizer, ids, special);
      expect(pieces.join("")).toBe(tokenizer.decode(ids, { special }));
      // Half a surrogate pair would be a broken character.
      for (const piece of pieces) expect(piece).not.toMatch(/\p{Cs}/u);
    }),
    { numRuns: 200 },
  );
}

function checkRoundTrip(tokenizer: Tokenizer): void {
  fc.assert(
    fc.property(anyText, (text) => {
      const ids = tokenizer.encode(text, ORDINARY);
      expect(tokenizer.decode(ids)).toBe(text);
      const pieces = stream(tokenizer, ids, false);
      expect(pieces.join("")).toBe(text);
    }),
    { numRuns: 200 },
  );
}

function checkControlTokens(tokenizer: Tokenizer, spacesAreSymmetric: boolean): void {
  const controlIds = new Set([...tokenizer.endIds, tokenizer.bosId]);
  fc.assert(
    fc.property(anyText, (text) => {
      expect(tokenizer.encode(text, ORDINARY).some((id) => controlIds.has(id))).toBe(false);
      if (!spacesAreSymmetric) return;
      const parsed = tokenizer.encode(text, PARSED);
      const rendered = tokenizer.decode(parsed, { special: true });
      expect(tokenizer.encode(rendered, PARSED)).toEqual(parsed);
    }),
    { numRuns: 100 },
  );
}

/** tokenizer.json of SentencePiece puts a space after each control token when encoding but takes only the first away. */
function checkAll(
  name: string,
  open: () => Tokenizer | Promise<Tokenizer>,
  { spacesAreSymmetric }: { readonly spacesAreSymmetric: boolean },
): void {
  describe(name, () => {
    let tokenizer: Tokenizer;
    beforeAll(async () => {
      tokenizer = await open();
    });
    it("streams what it decodes", () => checkStreaming(tokenizer));
    it("gives back every text", () => checkRoundTrip(tokenizer));
    it("keeps control tokens out of text, and text with them stable", () =>
      checkControlTokens(tokenizer, spacesAreSymmetric));
  });
}

checkAll(
  "tiny sentencepiece",
  () => createGgufTokenizer(ggufVocabularyFile(sentencePieceMetadata())),
  SYMMETRIC,
);
checkAll("tiny bpe", () => createGgufTokenizer(ggufVocabularyFile(bytePairMetadata())), SYMMETRIC);

describe("tiny wordpiece", () => {
  it("streams what it decodes", () =>
    checkStreaming(createGgufTokenizer(ggufVocabularyFile(wordPieceMetadata(), "bert"))));
});

describe("incomplete characters", () => {
  const tokenizer = createGgufTokenizer(ggufVocabularyFile(sentencePieceMetadata()));
  const byteId = (byte: number): number => 3 + byte;

  it("are held back until they are complete", () => {
    const decoder = tokenizer.decoder();
    const pieces = [...new TextEncoder().encode("é👍")].map((byte) => decoder.push(byteId(byte)));
    expect(pieces).toEqual(["", "é", "", "", "", "👍"]);
    expect(decoder.end()).toBe("");
  });

  it("end as one replacement character", () => {
    const decoder = tokenizer.decoder();
    expect([0xf0, 0x9f, 0x91].map((byte) => decoder.push(byteId(byte)))).toEqual(["", "", ""]);
    expect(decoder.end()).toBe(REPLACEMENT);
    expect(tokenizer.decode([byteId(0xc3), byteId(0x41), byteId(0xff)])).toBe(
      `${REPLACEMENT}A${REPLACEMENT}`,
    );
  });
});

describeWithData("real vocabularies", () => {
  for (const name of ["llama-spm", "gpt-2", "deepseek-llm"])
    checkAll(name, () => openVocabulary(name), SYMMETRIC);
  // These have no tokens for some bytes, so not every text can be encoded.
  it.each(["falcon", "refact", "mpt", "bert-bge"])("%s streams what it decodes", async (name) => {
    checkStreaming(await openVocabulary(name));
  });
  checkAll("llama-bpe", llama3Tokenizer, SYMMETRIC);
  const openJson = (folder: string) => () =>
    loadTokenizer(huggingFaceFolder({ tokenizer: readTokenizerData(folder, "tokenizer.json") }));
  checkAll("gpt2/tokenizer.json", openJson("gpt2"), SYMMETRIC);
  checkAll("llama2/tokenizer.json", openJson("llama2"), { spacesAreSymmetric: false });
  it("phi3/tokenizer.json streams what it decodes", async () => checkStreaming(await openJson("phi3")()));

  it("streams tokenizer.json as its library decodes, wherever the bytes are well-formed", async () => {
    for (const path of [
      ["gpt2", "tokenizer.json"],
      ["falcon_tokenizer.json"],
      ["llama2", "tokenizer.json"],
    ]) {
      const json = readTokenizerData(...path);
      const tokenizer = await loadTokenizer(huggingFaceFolder({ tokenizer: json }));
      const library = createLibraryTokenizer("test", json, undefined) as unknown as {
        decode(ids: number[], options: object): string;
      };
      const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
      const id = fc.integer({ min: 3 + 256, max: tokenizer.vocabularySize - 1 });
      fc.assert(
        fc.property(fc.array(id, { minLength: 1, maxLength: 20 }), (ids) => {
          const expected = library.decode(ids, options);
          fc.pre(!expected.includes(REPLACEMENT));
          expect(tokenizer.decode(ids)).toBe(expected);
        }),
        { numRuns: 200 },
      );
    }
  });

  it("encodes a megabyte in seconds", async () => {
    const text = readFileSync(dataPath("text", "tinyshakespeare.txt"), "utf8").slice(0, 1_000_000);
    const json = await loadTokenizer(
      huggingFaceFolder({ tokenizer: readTokenizerData("llama2", "tokenizer.json") }),
    );
    for (const tokenizer of [await openVocabulary("llama-spm"), llama3Tokenizer(), json]) {
      const start = performance.now();
      const ids = tokenizer.encode(text, ORDINARY);
      // Far above what it takes, far below what a quadratic encoder takes.
      expect(performance.now() - start).toBeLessThan(15_000);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });
});
