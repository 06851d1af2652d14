/**
 * Gradients against central finite differences in f64, on every family (norms per head, biases, fused and
 * tied tensors, windows, scale factors), every activation, every loss, every choice of columns, with and
 * without recomputation.
 */
import { describe, expect, test } from "vitest";
import { ReferenceTraining } from "../executors/training/reference-training.ts";
import type { LossWeights, TrainingBatch } from "../executors/training/training-executor.ts";
import { loadProgram } from "../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../models/synthetic/checkpoint.ts";
import { normalValues } from "../models/synthetic/random.ts";
import {
  catsRecipe,
  type ColumnRecipe,
  dipRecipe,
  freeRecipe,
  neuronRecipe,
} from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { rewriteNeurons } from "../methods/prosparse/rewrite.ts";
import { SYNTHETIC_FAMILIES, type SyntheticFamily, syntheticShape } from "../models/synthetic/shape.ts";
import { type DifferentiateOptions, differentiate } from "./differentiate.ts";
import type { Activation, Program } from "./program.ts";

const WEIGHTS: LossWeights = { target: 0.3, teacher: 0, l1: 0 };
const LIMITS = { rows: 16, sequenceLength: 16 };

/** Two sequences of 6 and 3 tokens; not every row has a target. */
const BATCH: TrainingBatch = {
  tokens: Int32Array.of(3, 7, 3, 19, 4, 4, 8, 1, 3),
  positions: Int32Array.of(0, 1, 2, 3, 4, 5, 0, 1, 2),
  bounds: Int32Array.of(0, 6, 9),
  outputs: Int32Array.of(0, 1, 2, 4, 5, 7, 8),
  targets: Int32Array.of(7, 3, 19, 4, 2, 3, 5),
};

async function synthetic(family: SyntheticFamily): Promise<Program> {
  const shape = {
    ...syntheticShape(family),
    vocabularySize: 320,
  };
  return (await loadProgram(await openSyntheticFolder(createSyntheticCheckpoint(family, shape, 3)))).program;
}

function start(program: Program, options: DifferentiateOptions = {}): ReferenceTraining {
  const training = new ReferenceTraining(differentiate(program, options), LIMITS);
  for (const { tensor, size, kind } of training.program.parameters) {
    training.write(tensor, "weights", normalValues(11, tensor, size, kind === "vector" ? 1 : 0, 0.2));
  }
  return training;
}

async function objective(training: ReferenceTraining, batch: TrainingBatch, weights: LossWeights) {
  const losses = await training.evaluate(batch);
  const l1 = training.program.ops
    .filter((op) => op.kind === "l1Gradient")
    .flatMap((op) => [...(training.bufferValues(op.x.name) ?? [])])
    .reduce((sum, x) => sum + Math.abs(x), 0);
  return weights.target * losses.target + weights.teacher * losses.teacher + weights.l1 * l1;
}

/**
 * Largest error of the gradients of a few entries of every parameter, relative to that parameter's largest.
 */
async function worstError(training: ReferenceTraining, batch = BATCH, weights = WEIGHTS): Promise<number> {
  await training.accumulate(batch, weights);
  let worst = 0;
  for (const { tensor, size } of training.program.parameters) {
    const gradients = training.values(tensor, "gradients");
    const largest = gradients.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest, `${tensor} has a gradient`).toBeGreaterThan(0);
    const step = Math.max(1, Math.floor(size / 7));
    for (let i = tensor.length % step; i < size; i += step) {
      const values = training.values(tensor, "weights");
      const value = values[i];
      const epsilon = 1e-5;
      values[i] = value + epsilon;
      const above = await objective(training, batch, weights);
      values[i] = value - epsilon;
      const below = await objective(training, batch, weights);
      values[i] = value;
      worst = Math.max(worst, Math.abs((above - below) / (2 * epsilon) - gradients[i]) / largest);
    }
  }
  return worst;
}

function withActivation(program: Program, activation: Activation): Program {
  return { ...program, ops: program.ops.map((op) => (op.kind === "glu" ? { ...op, activation } : op)) };
}

describe("gradients equal finite differences", () => {
  test.each(SYNTHETIC_FAMILIES)("%s", async (family) => {
    expect(await worstError(start(await synthetic(family)))).toBeLessThan(2e-6);
  });

  test.each<Activation>([
    { kind: "gelu" },
    { kind: "geluTanh" },
    { kind: "relu" },
    { kind: "fatrelu", threshold: 0.01 },
  ])("activation %o", async (activation) => {
    const program = withActivation(await synthetic("llama"), activation);
    expect(await worstError(start(program))).toBeLessThan(2e-6);
  });

  test("distillation and L1", async () => {
    const program = await synthetic("llama");
    const training = start(program, { distillation: { temperature: 1.7 }, l1: true });
    const teacher = normalValues(5, "teacher", BATCH.outputs.length * program.vocabularySize, 0, 2);
    const weights = { target: 0.3, teacher: 0.2, l1: 0.01 };
    expect(await worstError(training, { ...BATCH, teacher }, weights)).toBeLessThan(2e-6);
  });
});

const THRESHOLDS: ColumnRecipe = {
  method: "dynamic-input-pruning",
  version: 1,
  ...Object.fromEntries(
    ["input", "glu", "attentionInput", "attended"].map((site, i) => [
      site,
      { kind: "thresholds", thresholds: [0.1 * (i % 2) + 0.02, 0.05] },
    ]),
  ),
};

describe("gradients through chosen columns equal finite differences, the choice held", () => {
  test.each<readonly [string, ColumnRecipe, DifferentiateOptions]>([
    ["DIP", dipRecipe(0.5), {}],
    ["DIP, recomputed", dipRecipe(0.3), { recompute: "sublayers" }],
    ["GLU pruning", freeRecipe(undefined, 0.3), {}],
    ["up pruning", neuronRecipe("up", 0.4), {}],
    ["gate pruning", neuronRecipe("gate", 0.4), {}],
    [
      "CATS, recomputed",
      catsRecipe({ kind: "thresholds", thresholds: [0.02, 0.05] }),
      { recompute: "sublayers" },
    ],
    ["thresholds everywhere", THRESHOLDS, {}],
  ])("%s", async (_, recipe, options) => {
    const program = rewriteColumns(await synthetic("llama"), recipe);
    expect(await worstError(start(program, options))).toBeLessThan(2e-6);
  });

  test("live neurons", async () => {
    const relu = withActivation(await synthetic("llama"), { kind: "relu" });
    const layers = [0, 1].map((layer) => ({ layer, liveShare: 0.5 }));
    const program = rewriteNeurons(relu, { method: "prosparse", version: 1, layers });
    expect(program.ops.filter(({ kind }) => kind === "linearRows")).toHaveLength(2);
    const [sparse, dense] = [start(program), start(relu)];
    expect(await worstError(sparse)).toBeLessThan(2e-6);
    // Neurons that are zero take nothing with them.
    const again = start(program);
    expect(await again.accumulate(BATCH, WEIGHTS)).toEqual(await dense.accumulate(BATCH, WEIGHTS));
    for (const { tensor } of dense.program.parameters) {
      const expected = dense.values(tensor, "gradients");
      const worst = again
        .values(tensor, "gradients")
        .reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
      expect(worst, tensor).toBe(0);
    }
  });

  test("columns among live neurons", async () => {
    const relu = withActivation(await synthetic("llama"), { kind: "relu" });
    const layers = [0, 1].map((layer) => ({ layer, liveShare: 0.5 }));
    const columns = rewriteColumns(relu, dipRecipe(0.4));
    const live = rewriteNeurons(columns, { method: "prosparse", version: 1, layers });
    const [among, alone] = [start(live), start(columns)];
    expect(await worstError(among)).toBeLessThan(2e-6);
    expect(await among.evaluate(BATCH)).toEqual(await alone.evaluate(BATCH));
  });

  test("all columns kept is the dense program, bit for bit", async () => {
    const program = await synthetic("llama");
    const [dense, all] = [start(program), start(rewriteColumns(program, freeRecipe(1, 1)))];
    expect(await all.accumulate(BATCH, WEIGHTS)).toEqual(await dense.accumulate(BATCH, WEIGHTS));
    for (const { tensor } of dense.program.parameters) {
      expect(all.values(tensor, "gradients")).toEqual(dense.values(tensor, "gradients"));
    }
  });
});

describe("rewrites", () => {
  test("recomputation changes no gradient and keeps fewer buffers", async () => {
    const program = await synthetic("qwen3");
    const [kept, again] = [start(program), start(program, { recompute: "sublayers" })];
    const losses = await kept.accumulate(BATCH, WEIGHTS);
    expect(await again.accumulate(BATCH, WEIGHTS)).toEqual(losses);
    for (const { tensor } of kept.program.parameters) {
      expect(again.values(tensor, "gradients")).toEqual(kept.values(tensor, "gradients"));
    }
    expect(again.program.ops.length).toBeGreaterThan(kept.program.ops.length);
  });

  test("frozen weights get no gradient ops", async () => {
    const program = await synthetic("llama");
    const trainable = (weight: { name: string }) => weight.name.startsWith("layers.1.feedForward");
    const training = start(program, { trainable });
    await training.accumulate(BATCH, WEIGHTS);
    const all = start(program);
    await all.accumulate(BATCH, WEIGHTS);
    for (const { tensor, trainable: trained } of training.program.parameters) {
      const gradients = training.values(tensor, "gradients");
      if (trained) expect(gradients).toEqual(all.values(tensor, "gradients"));
      else expect(gradients.every((value) => value === 0)).toBe(true);
    }
    expect(training.program.ops.filter((op) => op.kind === "attentionGradient")).toHaveLength(0);
    expect(training.program.ops.filter((op) => op.kind === "linearWeightGradient")).toHaveLength(3);
  });

  test("a value used twice gets both contributions, also through shared gradient buffers", async () => {
    const x = { name: "x", width: 8, rows: "tokens" } as const;
    const [a, b, c] = ["a", "b", "c"].map((name) => ({ ...x, name }));
    const picked = { ...x, name: "picked", rows: "outputs" } as const;
    const logits = { name: "logits", width: 20, rows: "outputs" } as const;
    const weight = (name: string, rows: number, columns = 8) => ({
      name,
      rows,
      columns,
      tensor: name,
      firstRow: 0,
    });
    const program: Program = {
      name: "diamond",
      vocabularySize: 20,
      contextLength: 16,
      logits,
      ops: [
        { kind: "embed", table: weight("table", 20), out: x, factor: 2 },
        { kind: "linear", x, weight: weight("first", 8), bias: weight("bias", 1), out: b },
        // The norm of x comes after the linear: its gradient is added while b's gradient is still needed.
        { kind: "rmsNorm", x, weight: weight("norm", 1, 4), out: c, epsilon: 1e-5, groups: 2 },
        { kind: "add", a: x, b, out: a, factor: 1 },
        { kind: "add", a, b: c, out: a, factor: 0.5 },
        { kind: "add", a, b: a, out: x, factor: 1 },
        { kind: "selectOutputs", x, out: picked },
        { kind: "linear", x: picked, weight: weight("head", 20), bias: undefined, out: logits },
      ],
    };
    expect(await worstError(start(program))).toBeLessThan(2e-6);
  });
});
