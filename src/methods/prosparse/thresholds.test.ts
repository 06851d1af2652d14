import { expect, it } from "vitest";
import { chooseThreshold, thresholdActivation } from "./thresholds.ts";

const trial = (threshold: number, perplexity: number) => ({
  threshold,
  perplexity,
  sparsity: 0.5,
  layers: [0.5],
});

it("keeps the largest threshold within the allowance", () => {
  const trials = [trial(0, 100), trial(0.01, 100.5), trial(0.02, 100.9), trial(0.03, 104)];
  expect(chooseThreshold(trials, 0.01).threshold).toBe(0.02);
  expect(chooseThreshold(trials, 0).threshold).toBe(0);
  expect(chooseThreshold(trials, 0.1).threshold).toBe(0.03);
  expect(() => chooseThreshold([], 0.1)).toThrow(/none given/);
});

it("a threshold of 0 is plain ReLU, which drops zeros", () => {
  expect(thresholdActivation(0)).toEqual({ kind: "relu" });
  expect(thresholdActivation(0.01)).toEqual({ kind: "fatrelu", threshold: 0.01 });
});
