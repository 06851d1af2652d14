/**
 * Rotary tables against numbers computed with the expressions of transformers' modeling_rope_utils in Python.
 */
import { describe, expect, test } from "vitest";
import { buildRotaryTable, longRopeMagnitude, type RotaryParameters, yarnMagnitude } from "./rotary.ts";

const PLAIN: RotaryParameters = {
  base: 10000,
  width: 64,
  pairing: "halves",
  divisors: undefined,
  scaling: { kind: "none" },
  magnitude: 1,
};

function expectFrequencies(
  parameters: RotaryParameters,
  expected: readonly (readonly [number, number])[],
): void {
  const { inverseFrequencies } = buildRotaryTable("rotary", parameters);
  expect(inverseFrequencies.length).toBe(parameters.width / 2);
  for (const [pair, value] of expected) {
    expect(inverseFrequencies[pair] / value).toBeCloseTo(1, 10);
  }
}

describe("rotary tables", () => {
  test("plain frequencies fall from 1 to almost 1 / base", () => {
    expectFrequencies(PLAIN, [
      [0, 1],
      [16, 0.01],
      [31, 10000 ** (-62 / 64)],
    ]);
  });

  test("linear scaling divides all of them", () => {
    expectFrequencies({ ...PLAIN, scaling: { kind: "linear", factor: 4 } }, [
      [0, 0.25],
      [16, 0.0025],
    ]);
  });

  test("divisors divide one each", () => {
    const divisors = Array.from({ length: 32 }, (_, i) => i + 1);
    expectFrequencies({ ...PLAIN, divisors }, [
      [0, 1],
      [16, 0.01 / 17],
    ]);
  });

  test("llama3 scaling keeps fast, divides slow and blends those between (Llama 3.1 8B)", () => {
    const scaling = {
      kind: "llama3",
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 8192,
    } as const;
    expectFrequencies({ ...PLAIN, base: 500000, width: 128, scaling }, [
      [0, 1],
      [28, 0.0032114459947525913],
      [29, 0.002166570763503359],
      [30, 0.0013718935677611381],
      [32, 0.0005248461609929547],
      [34, 0.00017850781276799638],
      [35, 9.556212353964683e-5],
      [63, 3.068925988914511e-7],
    ]);
  });

  test("YaRN blends over its ramp", () => {
    const scaling = {
      kind: "yarn",
      factor: 4,
      originalContextLength: 2048,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
    } as const;
    expectFrequencies({ ...PLAIN, scaling }, [
      [0, 1],
      [5, 0.23713737056616555],
      [10, 0.049745578766838564],
      [16, 0.005384615384615384],
      [20, 0.0009730085108210396],
      [25, 0.00018747355233311394],
      [31, 3.33380358040831e-5],
    ]);
  });

  test("magnitudes", () => {
    expect(yarnMagnitude(4)).toBeCloseTo(1.138629436111989, 12);
    expect(yarnMagnitude(0.5)).toBe(1);
    expect(longRopeMagnitude(4096, 131072)).toBeCloseTo(1.1902380714238083, 12);
    expect(longRopeMagnitude(4096, 4096)).toBe(1);
  });
});
