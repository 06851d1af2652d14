/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2): Adam with bias-corrected moments and
 * weight decay apart from the gradient. The oracle of the optimizer kernel.
 */
import type { Values } from "../values.ts";

export interface AdamWSettings {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 1 for the first update. */
  readonly step: number;
  /** Multiplies gradients first: the clipping factor. */
  readonly gradientScale: number;
}

/** Updates weights and moments in place. */
export function adamW(
  weights: Values,
  gradients: Values,
  first: Values,
  second: Values,
  settings: AdamWSettings,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = settings;
  const firstCorrection = 1 / (1 - beta1 ** step);
  const secondCorrection = 1 / (1 - beta2 ** step);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i] * gradientScale;
    first[i] = beta1 * first[i] + (1 - beta1) * gradient;
    second[i] = beta2 * second[i] + (1 - beta2) * gradient * gradient;
    const direction = (first[i] * firstCorrection) / (Math.sqrt(second[i] * secondCorrection) + epsilon);
    weights[i] -= learningRate * (direction + weightDecay * weights[i]);
  }
}
