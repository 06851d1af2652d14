import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CachePreference,
  checkPreference,
  ColumnSelector,
  NO_PREFERENCE,
  warmUpGamma,
} from "./column-selection.ts";
import { nthSmallest } from "./nth-element.ts";

function residents(columns: number, resident: readonly number[]) {
  const slotOf = new Int32Array(columns).fill(-1);
  resident.forEach((column, slot) => {
    slotOf[column] = slot;
  });
  return { slotOf };
}

function choose(
  scores: readonly number[],
  k: number,
  resident: readonly number[],
  preference: Partial<CachePreference>,
  token = 0,
): number[] {
  const selector = new ColumnSelector(scores.length);
  const merged = { ...NO_PREFERENCE, ...preference };
  checkPreference(merged);
  selector.select(Float32Array.from(scores), k, residents(scores.length, resident), merged, token);
  return [...selector.selected.subarray(0, selector.count)];
}

describe("cache-aware selection", () => {
  const scores = [2, 1, 0.5, 3];

  it.each([
    [1, [[3], [0, 3], [0, 1, 3]]],
    [0.5, [[3], [0, 3], [0, 1, 3]]], // 0.5 * 2 ties with the resident 1: the larger score wins
    [0.2, [[1], [1, 3], [1, 2, 3]]],
    [0, [[1], [1, 2], [1, 2, 3]]],
  ])("gamma %d", (gamma, wanted) => {
    expect([1, 2, 3].map((k) => choose(scores, k, [1, 2], { gamma }))).toEqual(wanted);
  });

  it("exempts the largest scores", () => {
    expect(choose(scores, 2, [1, 2], { gamma: 0, fixedTopN: 1 })).toEqual([1, 3]);
    expect(choose(scores, 2, [1, 2], { gamma: 0, fixedTopN: 2 })).toEqual([0, 3]);
  });

  it("blends residency in", () => {
    // 0.5 s + 0.5 resident: 1, 1, 0.75, 1.5
    expect(choose(scores, 1, [1, 2], { gamma: 0.5, alphaBlend: true })).toEqual([3]);
    expect(choose(scores, 2, [1, 2], { gamma: 0.5, alphaBlend: true })).toEqual([0, 3]);
    // 0.2 s + 0.8 resident: 0.4, 1, 0.9, 0.6
    expect(choose(scores, 2, [1, 2], { gamma: 0.2, alphaBlend: true })).toEqual([1, 2]);
  });

  it("warms up from no preference at all", () => {
    expect(choose(scores, 2, [1, 2], { gamma: 0, warmUp: true }, 0)).toEqual([0, 3]);
    expect(choose(scores, 2, [1, 2], { gamma: 0, warmUp: true }, 1)).toEqual([1, 2]);
  });

  it.each([
    [0.2, [1, 0.734992, 0.557771, 0.36, 0.232, 0.20128]],
    [0.1, [1, 0.606107, 0.384605, 0.19, 0.109, 0.10009]],
  ])("gamma %d over the first tokens", (gamma, wanted) => {
    [0, 1, 2, 4, 8, 16].forEach((token, i) => {
      expect(warmUpGamma(gamma, token)).toBeCloseTo(wanted[i], 6);
    });
  });
});

describe("approximate caching", () => {
  it.each([
    [5, [0, 3, 4]],
    [4, [0, 1, 3]],
    [3, [0, 1, 2]],
  ])("m = %d", (topM, wanted) => {
    expect(choose([9, 8, 7, 6, 5, 4], 3, [3, 4, 5], { topM, fixedTopN: 1 })).toEqual(wanted);
  });

  it("prefers cached columns of the top k over better ones that are not", () => {
    expect(choose([9, 8, 7, 6], 2, [1, 3], { topM: 4 })).toEqual([1, 3]);
    expect(choose([9, 8, 7, 6], 2, [1, 3], { topM: 3 })).toEqual([0, 1]);
  });
});

describe("preferences", () => {
  it.each([
    [{ gamma: 1.5 }, /gamma: out of range/],
    [{ gamma: Number.NaN }, /gamma: out of range/],
    [{ fixedTopN: -1 }, /fixed top n/],
    [{ topM: 0 }, /top m: expected a whole number/],
    [{ topM: 4, gamma: 0.5 }, /replaces re-weighting/],
  ])("refuses %o", (preference, message) => {
    expect(() => checkPreference({ ...NO_PREFERENCE, ...preference })).toThrow(message);
  });
});

// Few distinct values, so that ties happen at every threshold.
const scoreList = fc.array(fc.constantFrom(0, 0.25, 0.5, 1, 1.5, 2, 3), { minLength: 1, maxLength: 24 });

describe("properties", () => {
  it("nthSmallest finds what sorting finds", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true }), { minLength: 1 }), fc.nat(), (values, at) => {
        const n = at % values.length;
        const sorted = Float64Array.from(values).sort();
        expect(nthSmallest(Float64Array.from(values), values.length, n) === sorted[n]).toBe(true);
      }),
    );
  });

  it("chooses what sorting by (re-weighted, score, index) chooses", () => {
    fc.assert(
      fc.property(
        scoreList,
        fc.nat(),
        fc.infiniteStream(fc.boolean()),
        fc.constantFrom(0, 0.25, 0.5, 1),
        (scores, at, resident, gamma) => {
          const k = at % (scores.length + 1);
          const cached = scores.map((_, i) => i).filter(() => resident.next().value);
          const weighted = scores.map((score, i) => (cached.includes(i) ? score : gamma * score));
          const sorted = scores
            .map((_, i) => i)
            .sort((a, b) => weighted[b] - weighted[a] || scores[b] - scores[a] || a - b);
          expect(choose(scores, k, cached, { gamma })).toEqual(sorted.slice(0, k).sort((a, b) => a - b));
        },
      ),
      { numRuns: 500 },
    );
  });
});
