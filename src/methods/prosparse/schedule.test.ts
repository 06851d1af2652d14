import { describe, expect, it } from "vitest";
import { checkStages, l1Factor, paperStages } from "./schedule.ts";

const LLAMA_7B = {
  ends: [5000, 6000, 10_000, 12_000, 16_000, 16_500],
  peaks: [5e-3, 5e-2, 5e-2, 2e-1, 2e-1],
};
const LLAMA_13B = {
  ends: [5500, 6750, 10_750, 11_000, 15_000, 16_000],
  peaks: [5e-3, 1e-2, 1e-2, 2e-2, 2e-2],
};
const MINICPM_1B = {
  ends: [10_000, 15_000, 20_000, 25_000, 35_000, 95_000],
  peaks: [1e-3, 5e-3, 5e-3, 5e-2, 5e-2],
};

describe("progressive L1 factor", () => {
  it.each(
    [
      ...[5000, 0, 5001, 0.005, 5500, 0.005, 6000, 0.005, 7000, 0.011590097, 8000, 0.0275, 9000, 0.043409903],
      ...[10_000, 0.05, 11_000, 0.05, 12_000, 0.05, 13_000, 0.071966991, 14_000, 0.125, 15_000, 0.178033009],
      ...[16_000, 0.2, 16_250, 0.2, 16_500, 0.2, 20_000, 0.2],
    ].flatMap((value, i, all) => (i % 2 === 0 ? [[value, all[i + 1]]] : [])),
  )("7B, update %i: %f", (step, factor) => {
    expect(l1Factor(step, LLAMA_7B)).toBeCloseTo(factor, 9);
  });

  it.each([
    [6750, 0.005],
    [7750, 0.005732233],
    [8750, 0.0075],
    [9750, 0.009267767],
    [11_000, 0.01],
    [12_000, 0.011464466],
    [13_000, 0.015],
    [14_000, 0.018535534],
    [16_000, 0.02],
  ])("13B, update %i: %f", (step, factor) => {
    expect(l1Factor(step, LLAMA_13B)).toBeCloseTo(factor, 9);
  });

  it.each([
    [12_500, 0.001],
    [16_250, 0.001585786],
    [17_500, 0.003],
    [22_500, 0.005],
    [30_000, 0.0275],
    [95_000, 0.05],
  ])("1B, update %i: %f", (step, factor) => {
    expect(l1Factor(step, MINICPM_1B)).toBeCloseTo(factor, 9);
  });

  it("passes the middle of two peaks in the middle of a stage, and equals the sine form", () => {
    for (let stage = 2; stage < LLAMA_7B.ends.length; stage++) {
      const [from, to] = [LLAMA_7B.ends[stage - 1], LLAMA_7B.ends[stage]];
      const [low, high] = [LLAMA_7B.peaks[stage - 2], LLAMA_7B.peaks[stage - 1]];
      expect(l1Factor((from + to) / 2, LLAMA_7B)).toBeCloseTo((low + high) / 2, 12);
      for (let step = from + 1; step <= to; step += 97) {
        const sine = (Math.sin(-Math.PI / 2 + (Math.PI * (step - from)) / (to - from)) + 1) / 2;
        expect(Math.abs(l1Factor(step, LLAMA_7B) - (low + sine * (high - low)))).toBeLessThan(1e-15);
      }
    }
  });
});

describe("stages", () => {
  it("of a shorter run keep the paper's proportions", () => {
    const { ends, peaks } = paperStages(16_500, 0.2);
    expect(ends).toEqual(LLAMA_7B.ends);
    peaks.forEach((peak, i) => {
      expect(peak).toBeCloseTo(LLAMA_7B.peaks[i], 12);
    });
    expect(paperStages(165, 0.2).ends).toEqual([50, 60, 100, 120, 160, 165]);
  });

  it.each([
    [{ ends: [1, 2], peaks: [] }, /expected one end more/],
    [{ ends: [1, 2], peaks: [1, 2] }, /expected one end more/],
    [{ ends: [2, 2], peaks: [1] }, /ascending/],
    [{ ends: [1, 2], peaks: [-1] }, /below 0/],
  ])("%o are refused", (stages, message) => {
    expect(() => checkStages(stages)).toThrow(message);
  });
});
