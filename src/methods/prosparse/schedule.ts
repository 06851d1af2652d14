/**
 * The progressive factor of the L1 penalty (ProSparse, arXiv 2402.13516, section on progressive regularization): nothing
 * until T0, a flat warm-up at the first peak until T1, then half a cosine wave from peak to peak, the last peak from TS on.
 *
 * Normaliser: the penalty is lambda times the sum over layers of the mean of |x1| over tokens and neurons of a micro-batch.
 * The paper leaves the normaliser open; factors of other code do not carry over.
 */
import { OptionError } from "../../errors.ts";

export interface L1Stages {
  /** T0 < T1 < ... < TS, the last updates of the stages. */
  readonly ends: readonly number[];
  /** lambda_1 ... lambda_S, one fewer. */
  readonly peaks: readonly number[];
}

/** Throws OptionError where stages do not ascend or peaks do not belong to them. */
export function checkStages({ ends, peaks }: L1Stages): void {
  if (peaks.length < 1 || ends.length !== peaks.length + 1) {
    throw new OptionError(
      `l1 stages: ${ends.length} ends for ${peaks.length} factors, expected one end more than factors - the first end is that of training without penalty`,
    );
  }
  if (!ends.every((end, i) => end > (ends[i - 1] ?? -1))) {
    throw new OptionError(`l1 stages: ends ${ends.join(", ")}, expected ascending updates`);
  }
  if (!peaks.every((peak) => peak >= 0)) {
    throw new OptionError(`l1 stages: factors ${peaks.join(", ")}, expected none below 0`);
  }
}

/** lambda at update `step`, counted from 1. */
export function l1Factor(step: number, { ends, peaks }: L1Stages): number {
  const stage = ends.findIndex((end) => step <= end);
  if (stage === 0) return 0;
  if (stage < 0) return peaks[peaks.length - 1];
  if (stage === 1) return peaks[0];
  const progress = (step - ends[stage - 1]) / (ends[stage] - ends[stage - 1]);
  const eta = (1 - Math.cos(Math.PI * progress)) / 2;
  const before = peaks[stage - 2];
  return before + eta * (peaks[stage - 1] - before);
}

/** Stages of a run of `steps` updates in the proportions of the paper's 7B setting, rising to `peak`. */
export function paperStages(steps: number, peak: number): L1Stages {
  const shares = [5000, 6000, 10_000, 12_000, 16_000, 16_500].map((end) => end / 16_500);
  return {
    ends: shares.map((share, i) => Math.max(i + 1, Math.round(share * steps))),
    peaks: [0.025, 0.25, 0.25, 1, 1].map((share) => share * peak),
  };
}
