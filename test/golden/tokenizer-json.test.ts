/**
 * tokenizer.json files against ids recorded from the original tokenizers, and against the GGUF case files of the
 * same vocabularies.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../src/formats/model-file.ts";
import { loadTokenizer } from "../../src/tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { dataPath, describeWithData, hasData } from "../shared-data.ts";
import { huggingFaceFolder, openVocabulary, readCases, readTokenizerData } from "./tokenizer-cases.ts";

const ORDINARY = { addSpecial: false, parseSpecial: false };
const PARSED = { addSpecial: true, parseSpecial: true };

const load = (path: readonly string[], tokenizerConfig?: JsonObject): Promise<Tokenizer> =>
  loadTokenizer(
    huggingFaceFolder({
      tokenizer: readTokenizerData(...path),
      ...(tokenizerConfig === undefined ? {} : { tokenizerConfig }),
    }),
  );

const FILES = [
  { path: ["gpt2", "tokenizer.json"], cases: "gpt-2", encoded: "gpt2_encoded_tokens.json", size: 50257 },
  { path: ["falcon_tokenizer.json"], cases: "falcon", encoded: "falcon_encoded.json", size: 65024 },
  { path: ["llama2", "tokenizer.json"], cases: "llama-spm", encoded: "llama_encoded.json", size: 32000 },
  { path: ["phi3", "tokenizer.json"], cases: "llama-spm", encoded: "llama_encoded.json", size: 32045 },
];

describeWithData("tokenizer.json", () => {
  for (const { path, cases: vocabulary, encoded, size } of FILES) {
    describe(path.join("/"), () => {
      let tokenizer: Tokenizer;
      beforeAll(async () => {
        tokenizer = await load(path);
      });

      const cases = hasData ? readCases(vocabulary) : [];
      it.each(cases)("encodes $text", ({ text, ids }) => {
        expect(tokenizer.encode(text, ORDINARY)).toEqual(ids);
      });
      it.each(cases)("decodes $text", ({ text, ids }) => expect(tokenizer.decode(ids)).toBe(text));

      it("encodes and decodes the recorded text", () => {
        const recorded = readTokenizerData(encoded);
        expect(tokenizer.encode(recorded.text as string, PARSED)).toEqual(recorded.token_ids);
        const special = { special: true };
        expect(tokenizer.decode(recorded.token_ids as number[], special)).toBe(recorded.decoded_text);
      });

      it("has the size of its vocabulary", () => {
        expect(tokenizer.vocabularySize).toBe(size);
        expect(tokenizer.tokenText(size - 1)).toBeTypeOf("string");
        expect(tokenizer.tokenText(size)).toBeUndefined();
      });
    });
  }

  it("agrees with the GGUF form of the same vocabulary on a long text", async () => {
    const text = readFileSync(dataPath("text", "wiki.test.raw"), "utf8").slice(0, 200_000);
    for (const { path, cases } of FILES.slice(0, 3)) {
      const fromJson = (await load(path)).encode(text, ORDINARY);
      const fromGguf = (await openVocabulary(cases)).encode(text, ORDINARY);
      expect(fromJson).toEqual(fromGguf);
    }
  });
});

describeWithData("tokenizer_config.json", () => {
  it("names BOS and EOS, and overrides what Llama tokenizers add", async () => {
    const config = readTokenizerData("phi3", "tokenizer_config.json");
    const tokenizer = await load(["phi3", "tokenizer.json"], config);
    expect([tokenizer.bosId, tokenizer.eosId]).toEqual([1, 32000]);
    expect(tokenizer.encode("Hi", PARSED)).toEqual([1, 6324]);
    const silent = await load(["phi3", "tokenizer.json"], { ...config, add_bos_token: false });
    expect(silent.encode("Hi", PARSED)).toEqual([6324]);
  });

  it("takes all end tokens of generation_config.json and config.json", async () => {
    const tokenizer = await loadTokenizer(
      huggingFaceFolder({
        tokenizer: readTokenizerData("phi3", "tokenizer.json"),
        tokenizerConfig: readTokenizerData("phi3", "tokenizer_config.json"),
        generationConfig: { eos_token_id: [32007, 32001] },
        config: { eos_token_id: 2 },
      }),
    );
    expect([...tokenizer.endIds].toSorted((a, b) => a - b)).toEqual([2, 32000, 32001, 32007]);
  });

  it("finds control tokens, strips what follows them, and treats them as text when asked", async () => {
    const tokenizer = await load(
      ["phi3", "tokenizer.json"],
      readTokenizerData("phi3", "tokenizer_config.json"),
    );
    const prompt = "<|user|>\nHi<|end|>\n<|assistant|>\n";
    // <|assistant|> swallows the line end after it, <|user|> and <|end|> do not.
    expect(tokenizer.encode(prompt, { addSpecial: false, parseSpecial: true })).toEqual([
      32010, 29871, 13, 18567, 32007, 29871, 13, 32001,
    ]);
    const asText = tokenizer.encode(prompt, ORDINARY);
    expect(asText.every((id) => id < 32000 && id > 2)).toBe(true);
    expect(tokenizer.decode(asText)).toBe(prompt);
    expect(tokenizer.decode([32010, 18567, 32007])).toBe("Hi");
    expect(tokenizer.decode([32010, 18567, 32007], { special: true })).toBe("<|user|>Hi<|end|>");
  });

  it("finds control tokens anywhere, whatever their normalized flag", async () => {
    const tokenizer = await load(["llama2", "tokenizer.json"]);
    expect(tokenizer.encode("a</s>b", { addSpecial: false, parseSpecial: true })).toEqual([263, 2, 289]);
    expect(tokenizer.encode("a</s>b", ORDINARY)).not.toContain(2);
  });
});
