import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeSymbols } from "./merge-symbols.ts";

type Ranks = ReadonlyMap<string, number>;

/** The definition: scan for the best pair, leftmost of equals, and merge it; again until none is left. */
function mergeByScanning(text: string, ranks: Ranks): string[] {
  const symbols = [...text];
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = ranks.get(symbols[i] + symbols[i + 1]) ?? Number.POSITIVE_INFINITY;
      if (rank < bestRank) {
        best = i;
        bestRank = rank;
      }
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
  }
}

function merge(text: string, ranks: Ranks): string[] {
  const starts = mergeSymbols(
    Array.from(text, (_, i) => i),
    text.length,
    (start, _, end) => ranks.get(text.slice(start, end)) ?? Number.POSITIVE_INFINITY,
  );
  return starts.map((start, i) => text.slice(start, starts[i + 1] ?? text.length));
}

describe("mergeSymbols", () => {
  it("merges the best pair first", () => {
    const ranks = new Map([
      ["bc", 0],
      ["ab", 1],
    ]);
    expect(merge("abc", ranks)).toEqual(["a", "bc"]);
    expect(merge("abcabab", ranks)).toEqual(["a", "bc", "ab", "ab"]);
  });

  it("takes the leftmost of equal pairs", () => {
    expect(merge("aaaaa", new Map([["aa", 0]]))).toEqual(["aa", "aa", "a"]);
    const nested = new Map([
      ["aa", 0],
      ["aaaa", 0],
    ]);
    expect(merge("aaaaaaa", nested)).toEqual(["aaaa", "aa", "a"]);
  });

  it("leaves texts without pairs alone", () => {
    expect(mergeSymbols([], 0, () => 0)).toEqual([]);
    expect(mergeSymbols([0], 1, () => 0)).toEqual([0]);
    expect(merge("xyz", new Map())).toEqual(["x", "y", "z"]);
  });

  it("equals merging by scanning", () => {
    const pair = fc.tuple(
      fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 2, maxLength: 5 }),
      fc.integer({ min: 0, max: 6 }),
    );
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 40 });
    fc.assert(
      fc.property(text, fc.array(pair, { maxLength: 30 }), (input, pairs) => {
        const ranks = new Map(pairs);
        expect(merge(input, ranks)).toEqual(mergeByScanning(input, ranks));
      }),
      { numRuns: 500 },
    );
  });

  it("does not slow down on one long word", () => {
    const ranks = new Map([
      ["aa", 0],
      ["aaaa", 1],
      ["aaaaaaaa", 2],
    ]);
    const merged = merge("a".repeat(200_000), ranks);
    expect(merged.length).toBe(25_000);
  });
});
