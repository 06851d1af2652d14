import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../formats/model-file.ts";
import { rewritePreTokenizer, splitIndependentWords } from "./tokenizer-json-pipeline.ts";

interface PreTokenizer {
  pre_tokenize(text: string, options: { section_index: number }): string[];
}

/** What the library makes of a rewritten pre-tokenizer. */
function preTokenize(config: JsonObject, text: string): string[] {
  const file = {
    model: { type: "BPE", vocab: {}, merges: [] },
    pre_tokenizer: { type: "Sequence", pretokenizers: [rewritePreTokenizer(config)] },
    added_tokens: [],
    normalizer: null,
    post_processor: null,
    decoder: null,
  };
  const library = new Tokenizer(file, {}) as { pre_tokenizer: PreTokenizer };
  return library.pre_tokenizer.pre_tokenize(text, { section_index: 0 });
}

/** Expectations are those of the original library's documentation and tests. */
describe("rewritePreTokenizer", () => {
  const text = "the-final--countdown";
  it.each([
    ["Removed", ["the", "final", "countdown"]],
    ["Isolated", ["the", "-", "final", "-", "-", "countdown"]],
    ["MergedWithPrevious", ["the-", "final-", "-", "countdown"]],
    ["MergedWithNext", ["the", "-final", "-", "-countdown"]],
    ["Contiguous", ["the", "-", "final", "--", "countdown"]],
  ])("splits with behavior %s", (behavior, words) => {
    const split = { type: "Split", behavior, invert: false };
    expect(preTokenize({ ...split, pattern: { String: "-" } }, text)).toEqual(words);
    expect(preTokenize({ ...split, pattern: { Regex: "-" } }, text)).toEqual(words);
  });

  it("keeps both sides of an inverted isolating split", () => {
    const split = { type: "Split", behavior: "Isolated", invert: true, pattern: { Regex: "[a-z]+" } };
    expect(preTokenize(split, "ab, cd")).toEqual(["ab", ", ", "cd"]);
  });

  it("knows all of Unicode's digits", () => {
    const text = "a12٣½b";
    expect(preTokenize({ type: "Digits", individual_digits: true }, text)).toEqual([
      "a",
      "1",
      "2",
      "٣",
      "½",
      "b",
    ]);
    expect(preTokenize({ type: "Digits", individual_digits: false }, text)).toEqual(["a", "12٣½", "b"]);
  });

  it("isolates punctuation by default", () => {
    const text = "Hey!! a+b";
    expect(preTokenize({ type: "Punctuation" }, text)).toEqual(["Hey", "!", "!", " a", "+", "b"]);
    expect(preTokenize({ type: "Punctuation", behavior: "Contiguous" }, text)).toEqual([
      "Hey",
      "!!",
      " a",
      "+",
      "b",
    ]);
  });

  it("splits words of any script at whitespace", () => {
    expect(preTokenize({ type: "Whitespace" }, "Où est-il?")).toEqual(["Où", "est", "-", "il", "?"]);
    expect(preTokenize({ type: "WhitespaceSplit" }, " a\u0085b  c ")).toEqual(["a", "b", "c"]);
  });

  it("splits Metaspace unless told otherwise, and heeds the old name of its prefix", () => {
    const metaspace = { type: "Metaspace", replacement: "▁" };
    expect(preTokenize(metaspace, "Hey  friend")).toEqual(["▁Hey", "▁", "▁friend"]);
    expect(preTokenize({ ...metaspace, split: false }, "Hey friend")).toEqual(["▁Hey▁friend"]);
    expect(preTokenize({ ...metaspace, add_prefix_space: false }, "Hey friend")).toEqual(["Hey", "▁friend"]);
  });

  it("uses Unicode's whitespace in the byte-level pattern", () => {
    expect(preTokenize({ type: "ByteLevel", add_prefix_space: false }, "a\uFEFF b")).toEqual([
      "a",
      "ï»¿",
      "Ġb",
    ]);
  });
});

describe("splitIndependentWords", () => {
  const merges = ["▁ a"];
  it("cuts where no token crosses", () => {
    const model = { vocab: { "▁": 0, a: 1, "▁a": 2, "▁▁": 3 }, merges };
    const split = splitIndependentWords(null, model);
    expect(preTokenize(split!, "▁a▁▁aa▁")).toEqual(["▁a", "▁▁aa", "▁"]);
  });

  it("leaves vocabularies alone whose tokens hold inner spaces, and other pipelines", () => {
    const model = { vocab: { "▁": 0, "a▁a": 1 }, merges };
    expect(splitIndependentWords(null, model)).toBeNull();
    const byteLevel = { type: "ByteLevel" };
    expect(splitIndependentWords(byteLevel, { vocab: { "▁": 0 }, merges })).toBe(byteLevel);
  });
});
