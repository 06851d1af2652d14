/**
 * Learning rate by step: linear warm-up, then half a cosine down to a share of the peak (Loshchilov and
 * Hutter 2017, arXiv 1608.03983, without restarts).
 */
export interface Schedule {
  readonly steps: number;
  readonly warmup: number;
  readonly learningRate: number;
  /** Share of the peak that is left at the last step. */
  readonly finalShare: number;
}

/** `step` counts from 1. */
export function learningRateAt(step: number, { steps, warmup, learningRate, finalShare }: Schedule): number {
  if (step <= warmup) return (learningRate * step) / warmup;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return learningRate * (finalShare + (1 - finalShare) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
