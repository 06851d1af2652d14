/**
 * Threshold shifting (FATReLU): after training, gates below t become zero too. Of some thresholds the largest is kept that
 * costs no more than an allowed share of perplexity (ProSparse, arXiv 2402.13516, keeps the best trade-off by hand).
 */
import { OptionError } from "../../errors.ts";
import type { Activation } from "../../program/program.ts";

/** What a threshold gives. */
export interface ThresholdTrial {
  readonly threshold: number;
  readonly perplexity: number;
  /** Mean over layers and tokens. */
  readonly sparsity: number;
  readonly layers: readonly number[];
}

/** Keeps gates >= threshold; plain ReLU, which keeps those above 0, for a threshold of 0. */
export function thresholdActivation(threshold: number): Activation {
  return threshold === 0 ? { kind: "relu" } : { kind: "fatrelu", threshold };
}

/** The trial with the largest threshold whose perplexity stays within (1 + allowance) times that of the first. */
export function chooseThreshold(trials: readonly ThresholdTrial[], allowance: number): ThresholdTrial {
  const [first, ...others] = trials;
  if (first === undefined) throw new OptionError("thresholds: none given, expected at least one");
  const allowed = others.filter(({ perplexity }) => perplexity <= (1 + allowance) * first.perplexity);
  return allowed.reduce((best, trial) => (trial.threshold > best.threshold ? trial : best), first);
}
