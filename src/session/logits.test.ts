import { describe, expect, it } from "vitest";
import { NumericError } from "../errors.ts";
import { findBest, logProbability, rankBest } from "./logits.ts";

describe("findBest", () => {
  it("takes the lowest id among equals", () => {
    expect(findBest(Float32Array.of(1, 3, 3, 2))).toBe(1);
  });

  it("refuses NaN wherever it stands", () => {
    expect(() => findBest(Float32Array.of(Number.NaN, 1))).toThrow(NumericError);
    expect(() => findBest(Float32Array.of(1, 2, Number.NaN))).toThrow("token 2 is NaN");
  });

  it("refuses infinities at the top but allows excluded tokens", () => {
    expect(() => findBest(Float32Array.of(1, Number.POSITIVE_INFINITY))).toThrow(NumericError);
    expect(() => findBest(new Float32Array(3).fill(Number.NEGATIVE_INFINITY))).toThrow(NumericError);
    expect(findBest(Float32Array.of(Number.NEGATIVE_INFINITY, -5))).toBe(1);
  });
});

describe("logProbability", () => {
  it("is the log of the softmax", () => {
    const logits = Float32Array.from([Math.log(1), Math.log(2), Math.log(5)]);
    expect(logProbability(logits, 1)).toBeCloseTo(Math.log(0.25), 6);
  });

  it("does not overflow", () => {
    expect(logProbability(Float32Array.of(1e30, 0), 0)).toBe(0);
  });
});

describe("rankBest", () => {
  it("agrees with a full sort, ties by id, for every k", () => {
    const logits = Float32Array.from({ length: 57 }, (_, id) => (id * 37) % 11);
    const sorted = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
    for (let k = 1; k <= logits.length; k++) {
      const ranked = new Int32Array(k);
      rankBest(logits, k, ranked);
      expect(Array.from(ranked)).toEqual(sorted.slice(0, k));
    }
  });
});
