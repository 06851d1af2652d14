/**
 * Training through chosen columns, wasm against the reference: losses, gradients and, on rows full of ties,
 * zeros and outliers, which columns are kept.
 */
import { describe, expect, test } from "vitest";
import { inputRows } from "../../kernels/case-builder.ts";
import { type ColumnRecipe, dipRecipe, neuronRecipe } from "../../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../../methods/dynamic-input-pruning/rewrite.ts";
import { addAdapters, isAdapterWeight } from "../../methods/low-rank-adapters/rewrite.ts";
import { rewriteNeurons } from "../../methods/prosparse/rewrite.ts";
import { normalValues } from "../../models/synthetic/random.ts";
import { nodePlatform } from "../../platform/node.ts";
import type { SelectionRule } from "../../program/column-ops.ts";
import { type DifferentiateOptions, differentiate } from "../../program/differentiate.ts";
import type { Buffer, Program, Weight } from "../../program/program.ts";
import { fillWeights, relativeDifference, syntheticProgram } from "../../../test/training-runs.ts";
import { ReferenceTraining } from "./reference-training.ts";
import type { TrainingBatch, TrainingExecutor } from "./training-executor.ts";
import { createWasmTraining } from "./wasm-training.ts";

const LIMITS = { rows: 60, sequenceLength: 40 };
const WEIGHTS = { target: 0.05, teacher: 0.02, l1: 0 };
const BATCH: TrainingBatch = {
  tokens: Int32Array.from({ length: 47 }, (_, i) => (i * 37 + (i >> 2)) % 300),
  positions: Int32Array.from({ length: 47 }, (_, i) => (i < 38 ? i : i - 38)),
  bounds: Int32Array.of(0, 38, 47),
  outputs: Int32Array.from({ length: 40 }, (_, i) => i + (i >> 3)),
  targets: Int32Array.from({ length: 40 }, (_, i) => (i * 53) % 300),
};
const THRESHOLDS: ColumnRecipe = {
  method: "dynamic-input-pruning",
  version: 1,
  attentionInput: { kind: "thresholds", thresholds: [0.5, 0.2] },
  attended: { kind: "thresholds", thresholds: [0.01, 0.02] },
};

/** Largest difference of a gradient relative to its largest value, over all trainable tensors. */
async function compare(program: Program, options: DifferentiateOptions, threads = 2): Promise<number> {
  const differentiated = differentiate(program, options);
  const teacher = normalValues(5, "teacher", BATCH.outputs.length * program.vocabularySize, 0, 2);
  const batch = options.distillation === undefined ? BATCH : { ...BATCH, teacher };
  const reference = new ReferenceTraining(differentiated, LIMITS);
  const wasm = await createWasmTraining(nodePlatform(), differentiated, {
    threads,
    limits: LIMITS,
    simd: "auto",
  });
  try {
    fillWeights(reference);
    fillWeights(wasm);
    const [got, expected] = [
      await wasm.accumulate(batch, WEIGHTS),
      await reference.accumulate(batch, WEIGHTS),
    ];
    for (const name of ["target", "teacher"] as const) {
      expect(Math.abs(got[name] - expected[name])).toBeLessThanOrEqual(1e-5 * Math.abs(expected[name]));
    }
    return Math.max(
      ...differentiated.parameters
        .filter(({ trainable }) => trainable)
        .map(({ tensor }) =>
          relativeDifference(wasm.read(tensor, "gradients"), reference.read(tensor, "gradients")),
        ),
    );
  } finally {
    await wasm.dispose();
  }
}

describe("agrees with the reference", () => {
  test.each<readonly [string, ColumnRecipe, DifferentiateOptions]>([
    ["DIP", dipRecipe(0.5), {}],
    ["DIP, recomputed", dipRecipe(0.3), { recompute: "sublayers" }],
    ["up pruning", neuronRecipe("up", 0.4), {}],
    ["gate pruning", neuronRecipe("gate", 0.4), {}],
    ["thresholds on attention", THRESHOLDS, {}],
  ])("%s", async (_, recipe, options) => {
    expect(await compare(rewriteColumns(await syntheticProgram("llama"), recipe), options)).toBeLessThan(
      1e-4,
    );
  });

  test("live neurons", async () => {
    const program = await syntheticProgram("llama");
    const ops = program.ops.map((op) =>
      op.kind === "glu" ? { ...op, activation: { kind: "fatrelu" as const, threshold: 0.05 } } : op,
    );
    const layers = [0, 1].map((layer) => ({ layer, liveShare: 0.5 }));
    const sparse = rewriteNeurons({ ...program, ops }, { method: "prosparse", version: 1, layers });
    expect(await compare(sparse, {})).toBeLessThan(1e-4);
  });

  test("adapters under the masks, taught", async () => {
    const targets = ["feedForward.gate", "feedForward.up", "feedForward.down"] as const;
    const sparse = rewriteColumns(await syntheticProgram("llama"), dipRecipe(0.4));
    const adapted = addAdapters(sparse, { rank: 3, alpha: 3, targets });
    const options = { trainable: isAdapterWeight, distillation: { temperature: 1 } };
    expect(await compare(adapted, options)).toBeLessThan(1e-4);
  });
});

test.each<SelectionRule>([
  { kind: "topK", count: 7 },
  { kind: "topK", count: 0 },
  { kind: "topK", count: 37 },
  { kind: "threshold", threshold: 2.5 },
  { kind: "gate", threshold: 0, share: 1 },
  { kind: "gate", threshold: 1, share: 1 },
])("keeps the same columns of difficult rows: %o", async (rule) => {
  const [width, rows] = [37, 8];
  const weight = (name: string, count: number): Weight => ({
    name,
    tensor: name,
    rows: count,
    columns: width,
    firstRow: 0,
  });
  const x: Buffer = { name: "x", width, rows: "tokens" };
  const picked: Buffer = { name: "picked", width, rows: "outputs" };
  const logits: Buffer = { name: "logits", width: 11, rows: "outputs" };
  const sum: Buffer = { ...x, name: "sum" };
  const selection = { name: "columns", width, rule };
  const program: Program = {
    name: "columns",
    vocabularySize: 11,
    contextLength: 16,
    logits,
    ops: [
      { kind: "embed", table: weight("table", 11), out: x, factor: 1 },
      { kind: "selectColumns", x, out: selection },
      {
        kind: "linearColumns",
        x,
        selection,
        parts: [{ weight: weight("square", width), bias: undefined, out: sum }],
      },
      { kind: "selectOutputs", x: sum, out: picked },
      { kind: "linear", x: picked, weight: weight("head", 11), bias: undefined, out: logits },
    ],
  };
  const differentiated = differentiate(program);
  const batch: TrainingBatch = {
    tokens: Int32Array.from({ length: rows }, (_, i) => i),
    positions: Int32Array.from({ length: rows }, (_, i) => i),
    bounds: Int32Array.of(0, rows),
    outputs: Int32Array.from({ length: rows }, (_, i) => i),
    targets: new Int32Array(rows),
  };
  const limits = { rows, sequenceLength: rows };
  const reference = new ReferenceTraining(differentiated, limits);
  const wasm = await createWasmTraining(nodePlatform(), differentiated, {
    threads: 2,
    limits,
    simd: "plain",
  });
  try {
    for (const training of [reference, wasm]) {
      fillWeights(training);
      const table = new Float32Array(11 * width);
      table.set(inputRows((stream, count) => normalValues(1, stream, count, 0, 1), width));
      training.write("table", "weights", table);
      await training.accumulate(batch, { target: 1, teacher: 0, l1: 0 });
    }
    const kept = (training: TrainingExecutor) =>
      Array.from(training.read("table", "gradients"), (value) => (value === 0 ? "." : "x")).join("");
    expect(kept(wasm)).toBe(kept(reference));
    if (rule.kind === "topK") expect(kept(wasm).split("x")).toHaveLength(rule.count * rows + 1);
  } finally {
    await wasm.dispose();
  }
});
