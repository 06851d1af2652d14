/**
 * GGUF vocabularies against ids that llama.cpp and the Hugging Face tokenizers agree on, exactly.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { createGgufTokenizer } from "../../src/tokenizer/gguf-tokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { dataPath, describeWithData, hasData } from "../shared-data.ts";
import { llama3Tokenizer, openGguf, openVocabulary, readCases } from "./tokenizer-cases.ts";

const ORDINARY = { addSpecial: false, parseSpecial: false };
const CASES_PER_VOCABULARY = 47;

const VOCABULARIES: readonly { name: string; kind: string; open: () => Promise<Tokenizer> }[] = [
  { name: "llama-spm", kind: "sentencepiece", open: () => openVocabulary("llama-spm") },
  { name: "llama-bpe", kind: "bpe (llama-bpe)", open: async () => llama3Tokenizer() },
  { name: "gpt-2", kind: "bpe (gpt-2)", open: () => openVocabulary("gpt-2") },
  { name: "falcon", kind: "bpe (falcon)", open: () => openVocabulary("falcon") },
  { name: "deepseek-llm", kind: "bpe (deepseek-llm)", open: () => openVocabulary("deepseek-llm") },
  { name: "mpt", kind: "bpe (mpt)", open: () => openVocabulary("mpt") },
  { name: "refact", kind: "bpe (refact)", open: () => openVocabulary("refact") },
  { name: "bert-bge", kind: "wordpiece", open: () => openVocabulary("bert-bge") },
];

describeWithData("GGUF vocabularies", () => {
  for (const { name, kind, open } of VOCABULARIES) {
    describe(name, () => {
      let tokenizer: Tokenizer;
      beforeAll(async () => {
        tokenizer = await open();
      });

      it("is of the expected kind", () => expect(tokenizer.kind).toBe(kind));

      const cases = hasData ? readCases(name) : [];
      it(`has ${CASES_PER_VOCABULARY} cases`, () => expect(cases.length).toBe(CASES_PER_VOCABULARY));
      it.each(cases)("encodes $text", ({ text, ids }) => {
        expect(tokenizer.encode(text, ORDINARY)).toEqual(ids);
      });

      if (kind !== "wordpiece") {
        it.each(cases)("decodes $text", ({ text, ids }) => expect(tokenizer.decode(ids)).toBe(text));
      }
    });
  }
});

describeWithData("stories260K", () => {
  const readIds = (file: string): number[] => {
    const bytes = readFileSync(dataPath("reference", "stories260K", file));
    return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i));
  };

  it.each(["text_a", "text_wiki"])("encodes %s as run.c did, BOS first", async (text) => {
    const tokenizer = createGgufTokenizer(await openGguf("models", "stories260K", "stories260K.gguf"));
    const expected = readIds(`${text}.tokens.i32`);
    const source = readFileSync(dataPath("reference", "stories260K", `${text}.txt`), "utf8");
    const ids = tokenizer.encode(source, { addSpecial: true, parseSpecial: false });
    expect(ids.slice(0, expected.length)).toEqual(expected);
    expect(tokenizer.decode(ids)).toBe(source);
  });
});
