/** What tests of trainers share: weights that are the same for both of a pair, and how far their results are apart. */
import type { TrainingExecutor } from "../src/executors/training/training-executor.ts";
import { loadProgram } from "../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../src/models/synthetic/checkpoint.ts";
import { normalValues } from "../src/models/synthetic/random.ts";
import { type SyntheticFamily, syntheticShape } from "../src/models/synthetic/shape.ts";
import type { Program } from "../src/program/program.ts";

export async function syntheticProgram(family: SyntheticFamily): Promise<Program> {
  const checkpoint = createSyntheticCheckpoint(family, syntheticShape(family), 3);
  return (await loadProgram(await openSyntheticFolder(checkpoint))).program;
}

/** Normal values that depend on the tensor's name alone; those of vectors lie around 1. */
export function fillWeights(training: TrainingExecutor, deviation = 0.1): void {
  for (const { tensor, size, kind } of training.program.parameters) {
    const mean = kind === "vector" ? 1 : 0;
    training.write(tensor, "weights", normalValues(11, tensor, size, mean, deviation));
  }
}

/** Largest difference relative to the largest expected value; NaN, which no bound lets pass, where all of these are zero. */
export function relativeDifference(values: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  return worst / largest;
}
