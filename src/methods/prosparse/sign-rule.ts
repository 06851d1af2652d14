/**
 * SparseInfer's rule (arXiv 2411.12692), a predictor that needs no training: a neuron is skipped when so many products of its
 * gate row with the input are negative that 100 negatives > alpha positives. Only signs are read. Here it is measured, beside
 * the predictors that are trained, not run.
 */
import type { PredictionCounts } from "./predictor.ts";

/** Whether a neuron is skipped. */
export function skipsBySigns(negatives: number, positives: number, alpha: number): boolean {
  return 100 * negatives > alpha * positives;
}

/** The rule's predictions for inputs x [rows, width] of gate rows [neurons, width], against targets [rows, neurons]. */
export function countSignRule(
  x: Float32Array,
  gate: Float32Array,
  targets: Uint8Array,
  width: number,
  alpha: number,
): PredictionCounts {
  const neurons = gate.length / width;
  let [live, predicted, hits] = [0, 0, 0];
  for (let i = 0; i < targets.length; i++) {
    const input = Math.floor(i / neurons) * width;
    const row = (i % neurons) * width;
    let [negatives, positives] = [0, 0];
    for (let k = 0; k < width; k++) {
      const product = x[input + k] * gate[row + k];
      if (product < 0) negatives++;
      else if (product > 0) positives++;
    }
    const isPredicted = skipsBySigns(negatives, positives, alpha) ? 0 : 1;
    live += targets[i];
    predicted += isPredicted;
    hits += targets[i] & isPredicted;
  }
  return { live, predicted, hits, total: targets.length };
}
