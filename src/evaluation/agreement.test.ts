import { describe, expect, test } from "vitest";
import { NumericError } from "../errors.ts";
import { compareGreedy, compareLogits } from "./agreement.ts";

describe("compareLogits", () => {
  test("a constant added to a row changes nothing", () => {
    const expected = Float32Array.of(1, 2, 3, 0, -1, 4);
    const shifted = Float32Array.of(11, 12, 13, -5, -6, -1);
    const agreement = compareLogits(shifted, expected, 3);
    expect(agreement.worstDifference).toBeLessThan(1e-6);
    expect(agreement).toMatchObject({ positions: 2, sameBest: 2 });
  });

  test("finds the worst token and counts equal best ones", () => {
    const expected = Float32Array.of(0, 0, 0, 2, 1, 0);
    const logits = Float32Array.of(0, 0, 0, 2, 3, 0);
    const agreement = compareLogits(logits, expected, 3);
    // ln(e^2 + e^3 + 1) - ln(e^2 + e + 1) = 0.94140: what the normalizer gains,
    // so token 1 differs by 2 - that.
    expect(agreement.worstDifference).toBeCloseTo(1.0586, 4);
    expect(agreement).toMatchObject({ worstPosition: 1, worstToken: 1, sameBest: 1 });
    // The other tokens of the row differ by the normalizer's gain: (1.0586 + 2 x 0.9414) / 6.
    expect(agreement.meanDifference).toBeCloseTo(0.4902, 4);
  });

  test("the spread of a uniform distribution is 0", () => {
    expect(compareLogits(new Float32Array(4), new Float32Array(4), 4).spread).toBe(0);
    expect(compareLogits(Float32Array.of(0, 2), Float32Array.of(0, 2), 2).spread).toBeCloseTo(1, 6);
  });

  test("NaN is refused and infinities never agree", () => {
    const zeros = new Float32Array(2);
    expect(() => compareLogits(Float32Array.of(0, Number.NaN), zeros, 2)).toThrow(NumericError);
    const infinite = Float32Array.of(0, Number.NEGATIVE_INFINITY);
    expect(compareLogits(infinite, zeros, 2).worstDifference).toBe(Number.POSITIVE_INFINITY);
    expect(compareLogits(infinite, infinite, 2).worstDifference).toBe(Number.POSITIVE_INFINITY);
  });

  test("shapes that do not fit are refused", () => {
    expect(() => compareLogits(new Float32Array(4), new Float32Array(2), 2)).toThrow(RangeError);
    expect(() => compareLogits(new Float32Array(3), new Float32Array(3), 2)).toThrow(RangeError);
    expect(() => compareLogits(new Float32Array(0), new Float32Array(0), 2)).toThrow(RangeError);
  });
});

describe("compareGreedy", () => {
  const logits = Float32Array.of(5, 1, 0, 0, 2, 1.75);

  test("equal ids have no margin", () => {
    expect(compareGreedy([0, 1], [0, 1], logits, 3)).toEqual({ equalIds: 2, count: 2, margin: undefined });
  });

  test("the margin of the first different id is in the expected engine's logits", () => {
    expect(compareGreedy([0, 2], [0, 1], logits, 3)).toEqual({ equalIds: 1, count: 2, margin: 0.25 });
    expect(compareGreedy([2, 1], [0, 1], logits, 3)).toEqual({ equalIds: 0, count: 2, margin: 5 });
  });

  test("lengths that do not fit are refused", () => {
    expect(() => compareGreedy([0], [0, 1], logits, 3)).toThrow(RangeError);
  });
});
