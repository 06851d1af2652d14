/**
 * The wasm trainer against the reference: losses, all gradients and updates of every family and every
 * activation; the same bits for any number of threads; the plain SIMD build.
 */
import { describe, expect, test } from "vitest";
import { normalValues } from "../../models/synthetic/random.ts";
import { SYNTHETIC_FAMILIES } from "../../models/synthetic/shape.ts";
import { nodePlatform } from "../../platform/node.ts";
import { type DifferentiateOptions, differentiate } from "../../program/differentiate.ts";
import type { Activation, Program } from "../../program/program.ts";
import type { TrainingProgram } from "../../program/training-ops.ts";
import { countedWorkers } from "../../../test/counted-workers.ts";
import { fillWeights, relativeDifference, syntheticProgram } from "../../../test/training-runs.ts";
import { ReferenceTraining } from "./reference-training.ts";
import type { BatchLosses, LossWeights, TrainingBatch } from "./training-executor.ts";
import { createWasmTraining, type WasmTraining, type WasmTrainingOptions } from "./wasm-training.ts";

const WEIGHTS: LossWeights = { target: 0.02, teacher: 0.01, l1: 0.001 };
const LIMITS = { rows: 120, sequenceLength: 90 };
const ADAMW = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  step: 1,
  gradientScale: 0.5,
};

/** Sequences of 77, 9 and 1 tokens: more than one query block, odd tails, a lone token. */
const BATCH: TrainingBatch = {
  tokens: Int32Array.from({ length: 87 }, (_, i) => (i * 37 + (i >> 2)) % 300),
  positions: Int32Array.from({ length: 87 }, (_, i) => (i < 77 ? i : i < 86 ? i - 77 : 0)),
  bounds: Int32Array.of(0, 77, 86, 87),
  outputs: Int32Array.from({ length: 61 }, (_, i) => i + (i >> 2)),
  targets: Int32Array.from({ length: 61 }, (_, i) => (i * 53) % 300),
};

async function wasm(
  program: TrainingProgram,
  options: Partial<WasmTrainingOptions> = {},
): Promise<WasmTraining> {
  const training = await createWasmTraining(nodePlatform(), program, {
    threads: 2,
    limits: LIMITS,
    simd: "auto",
    ...options,
  });
  fillWeights(training);
  return training;
}

function expectClose(losses: BatchLosses, expected: BatchLosses): void {
  for (const name of ["target", "teacher", "l1"] as const) {
    expect(Math.abs(losses[name] - expected[name])).toBeLessThanOrEqual(1e-5 * Math.abs(expected[name]));
  }
}

async function compare(
  program: Program,
  options: DifferentiateOptions,
  batch = BATCH,
  simd: "auto" | "plain" = "auto",
) {
  const differentiated = differentiate(program, options);
  const reference = new ReferenceTraining(differentiated, LIMITS);
  fillWeights(reference);
  const training = await wasm(differentiated, { simd });
  try {
    expectClose(await training.evaluate(batch), await reference.evaluate(batch));
    expectClose(await training.accumulate(batch, WEIGHTS), await reference.accumulate(batch, WEIGHTS));
    const norm = await reference.gradientNorm();
    expect(Math.abs((await training.gradientNorm()) - norm)).toBeLessThan(2e-5 * norm);
    for (const { tensor } of differentiated.parameters) {
      const error = relativeDifference(
        training.read(tensor, "gradients"),
        reference.read(tensor, "gradients"),
      );
      expect(error, tensor).toBeLessThan(1e-4);
    }
    return { training, reference };
  } catch (error) {
    await training.dispose();
    throw error;
  }
}

describe("agrees with the reference", () => {
  test.each(SYNTHETIC_FAMILIES)("%s", async (family) => {
    const { training } = await compare(await syntheticProgram(family), {});
    await training.dispose();
  });

  test.each<Activation>([
    { kind: "gelu" },
    { kind: "geluTanh" },
    { kind: "relu" },
    { kind: "fatrelu", threshold: 0.01 },
  ])("activation %o", async (activation) => {
    const program = await syntheticProgram("llama");
    const ops = program.ops.map((op) => (op.kind === "glu" ? { ...op, activation } : op));
    const { training } = await compare({ ...program, ops }, {});
    await training.dispose();
  });

  test("distillation, L1, recomputation, plain SIMD", async () => {
    const program = await syntheticProgram("qwen3");
    const teacher = normalValues(5, "teacher", BATCH.outputs.length * program.vocabularySize, 0, 2);
    const options = { distillation: { temperature: 1.7 }, l1: true, recompute: "sublayers" } as const;
    const { training } = await compare(program, options, { ...BATCH, teacher }, "plain");
    await training.dispose();
  });

  test("updates", async () => {
    const { training, reference } = await compare(await syntheticProgram("llama"), {});
    for (const executor of [training, reference]) {
      await executor.update(ADAMW);
      await executor.accumulate(BATCH, WEIGHTS);
      await executor.update({ ...ADAMW, step: 2 });
    }
    for (const { tensor } of training.program.parameters) {
      // Adam divides small gradients by their own size, so rounding shows in a few entries.
      const [values, expected] = [training.read(tensor, "weights"), reference.read(tensor, "weights")];
      const meanError =
        values.reduce((sum, value, i) => sum + Math.abs(value - expected[i]), 0) / values.length;
      expect(meanError, tensor).toBeLessThan(2e-5);
      expect(training.read(tensor, "gradients").every((value) => value === 0)).toBe(true);
    }
    await training.dispose();
  });
});

test("threads change no bit, nor does what the memory held before", async () => {
  const program = differentiate(await syntheticProgram("mistral"), { l1: true });
  const results: { losses: BatchLosses[]; norm: number; weights: Float32Array[] }[] = [];
  for (const threads of [1, 2, 3]) {
    const training = await wasm(program, { threads });
    const losses = [await training.accumulate(BATCH, WEIGHTS), await training.accumulate(BATCH, WEIGHTS)];
    const norm = await training.gradientNorm();
    await training.update(ADAMW);
    losses.push(await training.evaluate(BATCH));
    const weights = program.parameters.map(({ tensor }) => training.read(tensor, "weights"));
    results.push({ losses, norm, weights });
    await training.dispose();
  }
  expect(results[0].losses[1]).toEqual(results[0].losses[0]);
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
});

test("a program that no tape can be made of leaves no worker behind", async () => {
  const program = differentiate(await syntheticProgram("llama"));
  const parameters = program.parameters.map((parameter) => ({ ...parameter, trainable: false }));
  const { platform, running } = countedWorkers();
  const options = { threads: 2, limits: LIMITS, simd: "auto" } as const;
  await expect(createWasmTraining(platform, { ...program, parameters }, options)).rejects.toThrow(
    /is not trainable/,
  );
  expect(running()).toBe(0);
});
