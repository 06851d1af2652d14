/**
 * BPE training: the merges of the paper's example, agreement with a count-everything-again trainer on random
 * text, round trips through the tokenizer that is written.
 */
import { describe, expect, test } from "vitest";
import type { HuggingFaceModelFile } from "../formats/model-file.ts";
import { OptionError } from "../errors.ts";
import { loadTokenizer } from "./load-tokenizer.ts";
import { END_OF_TEXT, trainBpe, vocabularyConfigJson, vocabularyJson, WordCounter } from "./train-bpe.ts";

function counted(text: string): Map<string, number> {
  const counter = new WordCounter();
  counter.add(text);
  return counter.counts;
}

/** Recounts all pairs for every merge. */
function slowMerges(counts: ReadonlyMap<string, number>, merges: number, idOf: (token: string) => number) {
  let words = [...counts].map(([word, weight]) => ({
    symbols: [...word].map((c) => (c === " " ? "Ġ" : c)),
    weight,
  }));
  const order = new Map<string, number>();
  const id = (token: string) => order.get(token) ?? idOf(token);
  const made: [string, string][] = [];
  while (made.length < merges) {
    const pairs = new Map<string, { left: string; right: string; count: number }>();
    for (const { symbols, weight } of words) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        const key = `${symbols[i]}\t${symbols[i + 1]}`;
        const pair = pairs.get(key) ?? { left: symbols[i], right: symbols[i + 1], count: 0 };
        pairs.set(key, { ...pair, count: pair.count + weight });
      }
    }
    const [best] = [...pairs.values()].sort(
      (a, b) => b.count - a.count || id(a.left) - id(b.left) || id(a.right) - id(b.right),
    );
    made.push([best.left, best.right]);
    order.set(best.left + best.right, 256 + made.length);
    words = words.map(({ symbols, weight }) => {
      const result: string[] = [];
      for (let i = 0; i < symbols.length; i++) {
        if (symbols[i] === best.left && symbols[i + 1] === best.right) {
          result.push(best.left + best.right);
          i++;
        } else result.push(symbols[i]);
      }
      return { symbols: result, weight };
    });
  }
  return made;
}

describe("training", () => {
  test("the paper's words merge in the paper's order", () => {
    const counts = new Map([
      ["low", 5],
      ["lower", 2],
      ["newest", 6],
      ["widest", 3],
    ]);
    const { merges } = trainBpe(counts, 257 + 4);
    expect(merges).toEqual([
      ["e", "s"],
      ["es", "t"],
      ["l", "o"],
      ["lo", "w"],
    ]);
  });

  test("incremental counts equal counting again", () => {
    let state = 7;
    const random = (n: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 16) % n;
    };
    const text = Array.from({ length: 400 }, () =>
      Array.from({ length: 1 + random(9) }, () => "abaac"[random(5)]).join(""),
    ).join(" ");
    const counts = counted(text);
    const { merges, tokens } = trainBpe(counts, 257 + 120);
    const ids = new Map(tokens.map((token, id) => [token, id]));
    expect(merges).toEqual(slowMerges(counts, 120, (token) => ids.get(token) ?? -1));
  });

  test("sizes that cannot be reached", () => {
    expect(() => trainBpe(counted("ab ab"), 400)).toThrow(OptionError);
    expect(() => trainBpe(counted("ab ab"), 256)).toThrow(/257/);
  });
});

test("the written tokenizer encodes and decodes any text", async () => {
  const text = "The cat sat on the mat. The dog sat on the log!  Zoë’s 12 cats\n\nsat there.";
  const vocabulary = trainBpe(counted(text.repeat(3)), 285);
  const file: HuggingFaceModelFile = {
    container: "huggingface",
    name: "trained",
    architecture: "llama",
    config: {},
    generationConfig: undefined,
    tokenizerConfig: vocabularyConfigJson(64),
    chatTemplate: undefined,
    tensors: new Map(),
    tensorBytes: 0,
    readTokenizer: async () => vocabularyJson(vocabulary),
    readRows: async () => {},
    close: async () => {},
  };
  const tokenizer = await loadTokenizer(file);
  expect(tokenizer.vocabularySize).toBe(285);
  expect([tokenizer.bosId, tokenizer.eosId]).toEqual([0, 0]);
  expect(tokenizer.tokenText(0)).toBe(END_OF_TEXT);
  const plain = { addSpecial: false, parseSpecial: false };
  for (const sample of [text, "sat", "żółw 日本 \u{1F600}\t\r\n x", ` ${END_OF_TEXT} `]) {
    expect(tokenizer.decode(tokenizer.encode(sample, plain))).toBe(sample);
  }
  expect(tokenizer.encode("sat", { addSpecial: true, parseSpecial: false })[0]).toBe(0);
  expect(tokenizer.encode(text, plain).length).toBeLessThan(text.length * 0.8);
});
