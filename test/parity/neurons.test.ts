/**
 * Live neurons on the wasm executor: exact mode gives the dense model's bits where weights are floats, the reference's
 * result within the bound where they are not, for any number of threads; the bytes that kernels count equal the formula.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor, type WasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { GgufModelFile, ModelFile } from "../../src/formats/model-file.ts";
import { overlayFile } from "../../src/formats/overlay-file.ts";
import { predictorTensors } from "../../src/methods/prosparse/recipe.ts";
import { rewriteNeurons } from "../../src/methods/prosparse/rewrite.ts";
import { withActivation } from "../../src/methods/prosparse/sparsity.ts";
import { thresholdActivation } from "../../src/methods/prosparse/thresholds.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../src/models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../src/models/synthetic/shape.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { countCost } from "../../src/program/accounting.ts";
import type { LinearOp, Program } from "../../src/program/program.ts";
import { f32 } from "../../src/quantization/f32.ts";
import { firstDifference, lastRowStep, runBehindPrompt } from "./sequence-runs.ts";

const OPTIONS: ExecutorOptions = {
  threads: 1,
  limits: { contextLength: 32, slots: 1, stepTokens: 16 },
  keyValueFormat: "f32",
  weightFormat: "f32",
  simd: "auto",
  onProgress: undefined,
};
const PROMPT = [1, 300, 17, 42, 260];
const GENERATED = [5, 311, 299, 7];

let file: GgufModelFile;
let program: Program;
beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  program = await buildProgram(file);
});

const layersOf = (share: number) => [0, 1].map((layer) => ({ layer, liveShare: share }));

function programs(threshold: number): { dense: Program; exact: Program } {
  const dense = withActivation(program, thresholdActivation(threshold));
  return { dense, exact: rewriteNeurons(dense, { method: "prosparse", version: 1, layers: layersOf(0.5) }) };
}

async function run(executor: Executor): Promise<Float32Array> {
  const logits = await runBehindPrompt(executor, PROMPT, GENERATED);
  return Float32Array.from(logits.flatMap((row) => [...row]));
}

async function runWasm(ran: Program, options: Partial<ExecutorOptions> = {}): Promise<Float32Array> {
  const executor = await createWasmExecutor(nodePlatform(), ran, file, { ...OPTIONS, ...options });
  try {
    return await run(executor);
  } finally {
    await executor.dispose();
  }
}

describe.each([0, 0.05, 1e9])("threshold %f", (threshold) => {
  test.each(["f32", "f16"] as const)("%s weights: the bits of the dense model", async (weightFormat) => {
    const { dense, exact } = programs(threshold);
    const expected = await runWasm(dense, { weightFormat });
    for (const threads of [1, 2, 3]) {
      expect(firstDifference(await runWasm(exact, { weightFormat, threads }), expected)).toBe(-1);
    }
    const plain = await runWasm(exact, { weightFormat, simd: "plain" });
    expect(firstDifference(plain, await runWasm(dense, { weightFormat, simd: "plain" }))).toBe(-1);
  });

  test("8-bit weights: near the reference, and the same for any number of threads", async () => {
    const { exact } = programs(threshold);
    const one = await runWasm(exact, { weightFormat: "q8" });
    expect(firstDifference(await runWasm(exact, { weightFormat: "q8", threads: 3 }), one)).toBe(-1);
    const reference = await run(await createReferenceExecutor(exact, file, OPTIONS));
    const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = one.reduce((most, value, i) => Math.max(most, Math.abs(value - reference[i])), 0);
    expect(worst).toBeLessThan(0.05 * largest);
  });
});

/** The program with predictors of these weights in both layers, and a file that holds them. */
function predicted(inner: (i: number) => number, outer: (i: number) => number) {
  const relu = withActivation(program, { kind: "relu" });
  const { weight } = relu.ops.find(
    (op) => op.kind === "linear" && op.weight.name.endsWith(".gate"),
  ) as LinearOp;
  const rank = 32;
  const tensors = [0, 1].flatMap((layer) => {
    const names = predictorTensors(layer);
    const matrix = (name: string, rows: number, columns: number, value: (i: number) => number) => ({
      name,
      shape: [rows, columns],
      format: f32,
      values: (first: number, count: number) =>
        Float32Array.from({ length: count * columns }, (_, i) => value(first * columns + i)),
    });
    return [matrix(names.inner, rank, weight.columns, inner), matrix(names.outer, weight.rows, rank, outer)];
  });
  const overlay = overlayFile(file, tensors, undefined);
  const predictor = { rank, predictedShare: 0.5, recall: 0.9 };
  const layers = layersOf(0.5).map((layer) => ({ ...layer, predictor }));
  const recipe = { method: "prosparse", version: 1, layers } as const;
  return { overlay, relu, program: rewriteNeurons(relu, recipe, overlay.tensors), recipe };
}

describe("predictors", () => {
  const wave = (factor: number) => (i: number) => Math.sin(factor * i);
  const runOn = async (on: ModelFile, ran: Program, options: Partial<ExecutorOptions> = {}) => {
    const executor = await createWasmExecutor(nodePlatform(), ran, on, { ...OPTIONS, ...options });
    const logits = await run(executor);
    const bytes = executor.columnBytesRead();
    await executor.dispose();
    return { logits, bytes };
  };

  test("the wasm executor agrees with the reference, whatever the number of threads", async () => {
    const { overlay, relu, program: ran } = predicted(wave(3), wave(5));
    const expected = await run(await createReferenceExecutor(ran, overlay, OPTIONS));
    const one = await runOn(overlay, ran);
    const worst = one.logits.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(worst).toBeLessThan(2e-5);
    for (const threads of [2, 3]) {
      expect(firstDifference((await runOn(overlay, ran, { threads })).logits, one.logits)).toBe(-1);
    }
    // The choice matters, and only behind the prompt.
    const dense = (await runOn(overlay, relu)).logits;
    expect(firstDifference(one.logits, dense)).toBeGreaterThanOrEqual(ran.vocabularySize);
  });

  test("one that chooses every neuron gives the dense model's bits, one that chooses none reads none", async () => {
    const both = predicted(wave(1), () => 1);
    const none = predicted(wave(1), () => -1);
    // Some inner neuron is open for any input that is not all negative.
    const { logits } = await runOn(both.overlay, both.program);
    expect(firstDifference(logits, (await runOn(both.overlay, both.relu)).logits)).toBe(-1);
    expect((await runOn(none.overlay, none.program)).bytes).toBe(0);
  });

  test("is refused without its tensors, in silu models, and counts its own bytes", () => {
    const { recipe, relu, program: ran } = predicted(wave(3), wave(5));
    expect(() => rewriteNeurons(relu, recipe, new Map())).toThrow(
      /tensor skim.layers.0.predictor.inner.weight/,
    );
    expect(() => rewriteNeurons(program, recipe)).toThrow(/activation is silu/);
    const weightBytes = ({ rows, columns }: { rows: number; columns: number }) => rows * columns;
    const reads = (of: Program, phase?: "prompt") =>
      countCost(of, { weightBytes, keyValueFormat: "f16", attended: 1, phase }).reads.byKind.feedForward -
      2 * 64;
    expect(reads(ran) - 0.5 * reads(relu)).toBeCloseTo(2 * 32 * (64 + 160), 6);
    // Prompts choose nothing and do without.
    expect(reads(ran, "prompt")).toBe(reads(relu));
  });
});

test("the reference skips neurons without changing a result", async () => {
  const { dense, exact } = programs(0.02);
  const [a, b] = await Promise.all(
    [dense, exact].map(async (ran) => run(await createReferenceExecutor(ran, file, OPTIONS))),
  );
  expect(firstDifference(a, b)).toBe(-1);
});

test("kernels count the bytes of live neurons", async () => {
  const { exact } = programs(0);
  const executor: WasmExecutor = await createWasmExecutor(nodePlatform(), exact, file, OPTIONS);
  await executor.step(lastRowStep(PROMPT, 0, true));
  expect(executor.columnBytesRead()).toBe(0);
  const reference = await createReferenceExecutor(exact, file, OPTIONS);
  await reference.step(lastRowStep(PROMPT, 0, true));
  let live = 0;
  reference.observe((op, values) => {
    if (op.kind !== "selectColumns") return;
    live += values(op.x)
      .subarray(0, op.x.width)
      .filter((gate) => gate > 0).length;
  });
  for (const [i, token] of GENERATED.entries()) {
    await executor.step(lastRowStep([token], PROMPT.length + i));
    await reference.step(lastRowStep([token], PROMPT.length + i));
  }
  const width = Math.max(...exact.ops.map((op) => (op.kind === "linearRows" ? op.weight.columns : 0)));
  const down = Math.max(
    ...exact.ops.map((op) => (op.kind === "linearColumns" ? op.parts[0].weight.rows : 0)),
  );
  expect(live).toBeGreaterThan(100);
  expect(executor.columnBytesRead()).toBe(4 * live * (width + 16 * Math.ceil(down / 16)));
  await executor.dispose();
});
