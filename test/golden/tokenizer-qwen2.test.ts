/**
 * qwen2 has case files but no vocabulary: words that are whole cases give their own ids, and every case made of such
 * words only must be their ids joined. That pins the pre-tokenizer wherever the data can.
 */
import { expect, it } from "vitest";
import { findPreTokenizer, splitWords } from "../../src/tokenizer/pre-tokenizers.ts";
import { describeWithData } from "../shared-data.ts";
import { readCases } from "./tokenizer-cases.ts";

describeWithData("qwen2 words", () => {
  const { patterns } = findPreTokenizer("qwen2");

  it("join to the ids of every case they cover", () => {
    const cases = readCases("qwen2").map((entry) => ({ ...entry, words: splitWords(entry.text, patterns) }));
    const idsOfWord = new Map(
      cases.filter(({ words }) => words.length === 1).map(({ text, ids }) => [text, ids]),
    );
    expect(idsOfWord.get("3")?.length).toBe(1);
    const covered = cases.filter(
      ({ words }) => words.length > 1 && words.every((word) => idsOfWord.has(word)),
    );
    for (const { words, ids } of covered) expect(words.flatMap((word) => idsOfWord.get(word)!)).toEqual(ids);
    // 33 to 333333333, and what else the words reach.
    expect(covered.length).toBeGreaterThanOrEqual(8);
  });

  it("never outnumber the ids", () => {
    for (const { text, ids } of readCases("qwen2")) {
      expect(splitWords(text, patterns).length).toBeLessThanOrEqual(ids.length);
    }
  });
});
