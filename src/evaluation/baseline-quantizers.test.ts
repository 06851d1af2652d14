/** Emulated quantizers: exact where they must be, and wrong in the way the method is. */
import { describe, expect, test } from "vitest";
import { type InputFacts, inputGroups, outlierSplit, perColumn, smoothQuant } from "./baseline-quantizers.ts";

const WEIGHT = Float32Array.of(0.5, -0.25, 1, 0.125);
const X = Float32Array.of(1, -2, 0.5, 40, -0.75, 1.5, 0.25, -36);

function facts(weights: number, activations: number): InputFacts {
  return {
    range: { minima: Float64Array.of(-1, -2, -1, -40), maxima: Float64Array.of(1, 2, 1, 40) },
    columnMaxima: Float64Array.of(0.5, 0.25, 1, 0.125),
    bits: { weights, activations },
  };
}

function product(x: Float32Array, w: Float32Array): number[] {
  return [0, 1].map((t) => w.reduce((sum, value, j) => sum + value * x[4 * t + j], 0));
}

const EXACT = product(X, WEIGHT);

describe("emulated quantizers", () => {
  test("with many bits the product is the float one", () => {
    for (const baseline of [perColumn, smoothQuant, outlierSplit]) {
      const { activations, weightRow } = baseline(facts(8, 16));
      product(activations(X, 2), weightRow(WEIGHT)).forEach((value, t) => {
        expect(Math.abs(value - EXACT[t])).toBeLessThan(0.05);
      });
    }
  });

  test("per column: each channel has its own step, the calibrated range is the limit", () => {
    const { activations, rowBits } = perColumn(facts(8, 8));
    const got = activations(X, 2);
    expect(Math.abs(got[3] - 40)).toBeLessThan(1e-5);
    expect(Math.abs(got[0] - 1)).toBeLessThan(1e-6);
    expect(Math.abs(activations(Float32Array.of(3, 0, 0, 0), 1)[0] - 1)).toBeLessThan(1e-6);
    expect(rowBits).toBe(4 * 8 + 32);
  });

  test("SmoothQuant divides activations by what it multiplies weights with", () => {
    const { activations, weightRow } = smoothQuant(facts(8, 8));
    const factor = Math.sqrt(40) / Math.sqrt(0.125);
    expect(weightRow(WEIGHT)[3] / factor).toBeCloseTo(0.125, 2);
    expect(activations(X, 2)[3] * factor).toBeCloseTo(40, 0);
  });

  test("the outlier split keeps outlier columns in 16 bits on both sides", () => {
    const { activations, weightRow, rowBits } = outlierSplit(facts(4, 4));
    expect(activations(X, 2)[3]).toBe(40);
    expect(weightRow(WEIGHT)[3]).toBe(0.125);
    expect(weightRow(WEIGHT)[1]).not.toBe(-0.25);
    expect(rowBits).toBe(3 * 4 + 16 + 32);
  });

  test("input groups round each group by its own largest weight", () => {
    const { activations, weightRow, rowBits } = inputGroups(2)(facts(4, 16));
    expect(activations(X, 2)).toBe(X);
    const row = weightRow(WEIGHT);
    expect(row[0]).toBeCloseTo(0.5, 3);
    expect(Math.abs(row[1] + 0.25)).toBeLessThan(0.5 / 7 / 2 + 1e-3);
    expect(rowBits).toBe(4 * 4 + 2 * 16);
  });
});
