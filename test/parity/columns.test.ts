/**
 * Column ops on the wasm executor against the reference: every storage, thread count and kernel build; prompts dense and
 * generated tokens sparse; all columns chosen equals the dense program bit for bit; the bytes that kernels count equal the
 * formula. The feed-forward width 160 leaves the runs of three threads uneven, and 4-token tiles half empty.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor, type WasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { GgufModelFile } from "../../src/formats/model-file.ts";
import {
  type ColumnRecipe,
  catsRecipe,
  freeRecipe,
  neuronRecipe,
} from "../../src/methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../../src/methods/dynamic-input-pruning/rewrite.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../src/models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../src/models/synthetic/shape.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { Program } from "../../src/program/program.ts";
import { f16 } from "../../src/quantization/f16.ts";
import { lastRowStep, runBehindPrompt, worstDifference } from "./sequence-runs.ts";

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
let dense: Program;
let unbiased: { readonly file: GgufModelFile; readonly dense: Program };

beforeAll(async () => {
  const shape = syntheticShape("llama", { biases: true });
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", shape, 5));
  dense = await buildProgram(file);
  const plain = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  unbiased = { file: plain, dense: await buildProgram(plain) };
});

/** Logits after the prompt and after each generated token. */
async function run(executor: Executor): Promise<Float32Array[]> {
  const logits = await runBehindPrompt(executor, PROMPT, GENERATED);
  await executor.dispose();
  return logits;
}

const wasm = (program: Program, options: Partial<ExecutorOptions> = {}) =>
  createWasmExecutor(nodePlatform(), program, file, { ...OPTIONS, ...options });
const reference = (program: Program, options: Partial<ExecutorOptions> = {}) =>
  createReferenceExecutor(program, file, { ...OPTIONS, ...options });

const THRESHOLDS: ColumnRecipe = {
  method: "dynamic-input-pruning",
  version: 1,
  input: { kind: "thresholds", thresholds: [0.4, 0.7] },
  glu: { kind: "thresholds", thresholds: [0.05, 0] },
  attentionInput: { kind: "density", density: 0.6 },
  attended: { kind: "density", density: 0.4 },
};

const CATS = catsRecipe({ kind: "thresholds", thresholds: [0.08, 0.03] });
/** Rows of gate and up have no bias in these products. */
const NEURONS = [
  ["gate pruning", neuronRecipe("gate", 0.4)],
  ["up pruning", neuronRecipe("up", 0.4)],
  ["CATS", CATS],
] as const;

describe("against the reference executor", () => {
  for (const [name, recipe] of NEURONS) {
    test.each([1, 2, 3])(`${name}, %d threads, f32`, async (threads) => {
      const program = rewriteColumns(unbiased.dense, recipe);
      const expected = await run(await createReferenceExecutor(program, unbiased.file, OPTIONS));
      const options = { ...OPTIONS, threads };
      const fast = await run(await createWasmExecutor(nodePlatform(), program, unbiased.file, options));
      expect(worstDifference(fast, expected)).toBeLessThan(2e-5);
      // The choice matters: the dense model says something else after the prompt.
      const full = await run(await createReferenceExecutor(unbiased.dense, unbiased.file, OPTIONS));
      expect(worstDifference(full.slice(0, 1), expected.slice(0, 1))).toBe(0);
      expect(worstDifference(full, expected)).toBeGreaterThan(1e-3);
    });
  }

  test("all neurons kept equals the dense program bit for bit, float weights", async () => {
    const runOf = async (program: Program) =>
      run(await createWasmExecutor(nodePlatform(), program, unbiased.file, { ...OPTIONS, threads: 2 }));
    const full = await runOf(unbiased.dense);
    for (const by of ["gate", "up"] as const) {
      const all = await runOf(rewriteColumns(unbiased.dense, neuronRecipe(by, 1)));
      expect(worstDifference(all, full)).toBe(0);
    }
    expect(
      worstDifference(
        await runOf(rewriteColumns(unbiased.dense, catsRecipe({ kind: "thresholds", thresholds: [0, 0] }))),
        full,
      ),
    ).toBe(0);
  });

  test.each([1, 3])("counted bytes of neurons equal the formula, %d threads", async (threads) => {
    const program = rewriteColumns(unbiased.dense, neuronRecipe("up", 0.25));
    const executor = await createWasmExecutor(nodePlatform(), program, unbiased.file, {
      ...OPTIONS,
      threads,
    });
    await executor.step(lastRowStep(PROMPT, 0, true));
    await executor.step(lastRowStep([7], PROMPT.length));
    // 2 layers: 40 of 160 rows of gate and columns of down, 64 values each.
    expect(executor.columnBytesRead()).toBe(2 * 40 * (64 + 64) * 4);
    await executor.dispose();
  });

  for (const threads of [1, 2, 3]) {
    for (const [name, recipe] of [
      ["input 0.5, GLU 0.3", freeRecipe(0.5, 0.3)],
      ["GLU alone, 0.25", freeRecipe(undefined, 0.25)],
      ["nothing chosen", freeRecipe(0, 0)],
      ["thresholds and attention", THRESHOLDS],
    ] as const) {
      test(`${name}, ${threads} threads, f32`, async () => {
        const program = rewriteColumns(dense, recipe);
        expect(
          worstDifference(await run(await wasm(program, { threads })), await run(await reference(program))),
        ).toBeLessThan(2e-5);
      });
    }
  }

  // All columns chosen: where rounding decides which column is the last one chosen, the two may rightly differ.
  test.each([
    ["f16", 5e-3],
    ["q8", 0.08],
    ["q4", 1.2],
  ] as const)("%s columns stay near the reference's f32", async (weightFormat, bound) => {
    const exact = await run(await reference(dense));
    const stored = await run(await wasm(rewriteColumns(dense, freeRecipe(1, 1)), { weightFormat }));
    expect(worstDifference(stored, exact)).toBeLessThan(bound);
    expect(worstDifference(stored, exact)).toBeGreaterThan(1e-6);
    // Storing by columns costs about what storing by rows does.
    const byRows = await run(await wasm(dense, { weightFormat }));
    expect(worstDifference(stored, exact)).toBeLessThan(2 * worstDifference(byRows, exact));
  });
});

// Files in f32 are packed where they were staged, others a unit of rows at a time.
test.each([
  ["q8", 0.08],
  ["q4", 1.2],
] as const)("columns are converted from a file in f16, %s", async (weightFormat, bound) => {
  const checkpoint = createSyntheticCheckpoint("llama", syntheticShape("llama", { biases: true }), 5);
  const source = await openSyntheticGguf(checkpoint, f16);
  const program = rewriteColumns(await buildProgram(source), freeRecipe(1, 1));
  const stored = createWasmExecutor(nodePlatform(), program, source, { ...OPTIONS, weightFormat });
  expect(worstDifference(await run(await stored), await run(await reference(dense)))).toBeLessThan(bound);
});

describe("exactly", () => {
  test.each(["f32", "f16"] as const)(
    "all columns chosen equals the dense program, %s",
    async (weightFormat) => {
      const program = rewriteColumns(dense, freeRecipe(1, 1));
      const chosen = await run(await wasm(program, { weightFormat, threads: 2 }));
      expect(worstDifference(chosen, await run(await wasm(dense, { weightFormat, threads: 2 })))).toBe(0);
    },
  );

  test.each(["f32", "q8", "q4"] as const)(
    "threads and kernel builds change nothing, %s",
    async (weightFormat) => {
      const program = rewriteColumns(dense, freeRecipe(0.6, 0.4));
      const [first, ...others] = await Promise.all(
        ([1, 2, 3] as const).map(async (threads) => run(await wasm(program, { weightFormat, threads }))),
      );
      for (const other of others) expect(worstDifference(other, first)).toBe(0);
      if (weightFormat !== "f32") {
        const plain = await run(await wasm(program, { weightFormat, simd: "plain" }));
        expect(worstDifference(plain, first)).toBeLessThan(1e-3);
      }
    },
  );

  test("prompts are dense whatever the density, also one token at a time", async () => {
    const full = await wasm(rewriteColumns(dense, freeRecipe(1, 1)), { weightFormat: "q8" });
    const sparse = await wasm(rewriteColumns(dense, freeRecipe(0.2, 0.2)), { weightFormat: "q8" });
    for (const [i, token] of PROMPT.entries()) {
      const expected = (await full.step(lastRowStep([token], i, true))).slice();
      expect(worstDifference([await sparse.step(lastRowStep([token], i, true))], [expected])).toBe(0);
    }
    expect(
      worstDifference(
        [await sparse.step(lastRowStep([7], 5))],
        [(await full.step(lastRowStep([7], 5))).slice()],
      ),
    ).toBeGreaterThan(1e-3);
    await Promise.all([full.dispose(), sparse.dispose()]);
  });

  test.each([1, 2, 3])("counted bytes equal the formula, %d threads", async (threads) => {
    for (const weightFormat of ["f32", "q8", "q4"] as const) {
      const program = rewriteColumns(dense, freeRecipe(0.5, 0.3));
      const executor: WasmExecutor = await wasm(program, { weightFormat, threads });
      await executor.step(lastRowStep(PROMPT, 0, true));
      expect(executor.columnBytesRead()).toBe(0);
      await executor.step(lastRowStep([7], PROMPT.length));
      // 2 layers: 32 of 64 input columns for gate and up, 48 of 160 for down; rows in units of 16, with 4 bits of 64.
      const columnBytes = {
        f32: (rows: number) => 4 * rows,
        q8: (rows: number) => rows + 4,
        q4: (rows: number) => 32 * Math.ceil(rows / 64) + 16 + 4,
      }[weightFormat];
      const expected = 2 * (2 * 32 * columnBytes(160) + 48 * columnBytes(64));
      expect(executor.columnBytesRead()).toBe(expected);
      const biases = 2 * 4 * (160 + 160 + 64);
      const norms = 2 * 4 * 64;
      expect(executor.readBytes(1).byKind.feedForward - norms).toBeCloseTo(expected + biases, 6);
      await executor.dispose();
    }
  });
});
