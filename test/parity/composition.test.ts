/**
 * Every ordered pair of methods on one model (the embedded calc: ReLU, so that all five apply): legal, and then the wasm
 * executor agrees with the reference, or refused with a reason. All five at once beside the plain model.
 */
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import { overlayFile } from "../../src/formats/overlay-file.ts";
import { dipRecipe } from "../../src/methods/dynamic-input-pruning/recipe.ts";
import { sparseLayers } from "../../src/methods/prosparse/rewrite.ts";
import { loadRecipeProgram, type Recipe, readRecipes, recipeSection } from "../../src/methods/recipes.ts";
import { compressTender } from "../../src/methods/tender/compress.ts";
import { prepareTender } from "../../src/methods/tender/prepare.ts";
import { dropSublayers } from "../../src/methods/trimllm/drop.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { keyValueBytes } from "../../src/program/accounting.ts";
import type { Interval } from "../../src/program/intervals.ts";
import { firstDifference } from "./sequence-runs.ts";

const FOLDER = path.resolve(import.meta.dirname, "..", "..", "models", "calc");
const TEXT = Array.from(
  { length: 40 },
  (_, i) => `Compute.\n${i}+${(7 * i) % 50}\n${i + ((7 * i) % 50)}\n`,
).join("");
const OPTIONS: ExecutorOptions = {
  threads: 2,
  limits: { contextLength: 64, slots: 1, stepTokens: 32 },
  keyValueFormat: "f32",
  weightFormat: "auto",
  simd: "auto",
  onProgress: undefined,
};

let base: ModelFile;
beforeAll(async () => {
  const file = await openModelFile(nodePlatform(), FOLDER);
  // Without its own recipe, so that spans are one of the methods to add.
  base = { ...file, recipes: undefined };
});
afterAll(() => base.close());

function withRecipe(file: ModelFile, recipe: Recipe): ModelFile {
  return overlayFile(file, [], recipeSection([...readRecipes(file), recipe]));
}

const METHODS = {
  trim: async (file: ModelFile) =>
    (await dropSublayers(file, [{ layer: 4, kind: "mlp" }], { base: "test" })).file,
  neurons: async (file: ModelFile) => {
    const { program } = await loadRecipeProgram(file);
    const layers = sparseLayers(program).map((layer) => ({ layer, liveShare: 0.3 }));
    return withRecipe(file, { method: "prosparse", version: 1, layers });
  },
  dip: async (file: ModelFile) => withRecipe(file, dipRecipe(0.6)),
  tender: async (file: ModelFile) => {
    const options = { chunkRows: undefined, segmentTokens: 64, maxSegments: 4, threads: 2 };
    const { program, inputs, calibration, facts } = await prepareTender(nodePlatform(), file, TEXT, options);
    const settings = {
      activationBits: 8,
      weightBits: 8,
      groups: 8,
      chunkRows: undefined,
      rounding: "up",
    } as const;
    const more = { channelBias: true, headBits: 8, calibration: facts } as const;
    return (await compressTender(file, program, inputs, calibration, { ...settings, ...more })).file;
  },
  spans: async (file: ModelFile) =>
    withRecipe(file, { method: "attention-span", version: 1, instruction: "Compute.\n", headers: "full" }),
} satisfies Record<string, (file: ModelFile) => Promise<ModelFile>>;

type Method = keyof typeof METHODS;
const NAMES = Object.keys(METHODS) as Method[];

/** Ordered pairs that make no sense, and what is said. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  "tender then dip": /no place for a choice of columns/,
  "tender then neurons": /no gated feed-forward of plain linears left/,
  "tender then trim": /quantized by the method tender/,
};

async function compose(...methods: readonly Method[]): Promise<ModelFile> {
  let file = base;
  for (const method of methods) {
    file = await METHODS[method](file);
    await loadRecipeProgram(file);
  }
  return file;
}

/** Logits of a prompt and of four generated tokens; those see only some positions when spans are among the methods. */
async function run(executor: Executor, spans: "none" | "some" | "all"): Promise<Float32Array[]> {
  const tokens = [0, 68, 112, 110, 113, 118, 117, 102, 47, 11, 52, 44, 54];
  const results: Float32Array[] = [];
  for (let first = 0; first < tokens.length; first += first === 0 ? 9 : 1) {
    const part = tokens.slice(first, first === 0 ? 9 : first + 1);
    const some: Interval[] = [
      { start: 0, end: 4 },
      { start: first - 2, end: first + 1 },
    ];
    const visible = spans === "some" ? some : [{ start: 0, end: first + 1 }];
    const step = {
      tokens: Int32Array.from(part),
      positions: Int32Array.from(part, (_, i) => first + i),
      slots: new Int32Array(part.length),
      outputs: Int32Array.of(part.length - 1),
      prompt: first === 0,
      ...(spans !== "none" && first > 0 && { visible: [visible] }),
    };
    results.push((await executor.step(step)).slice());
  }
  await executor.dispose();
  return results;
}

/** Logits of the wasm executor as one array. */
async function bitsOf(file: ModelFile, spans: "none" | "all" = "none"): Promise<Float32Array> {
  const { program } = await loadRecipeProgram(file);
  const rows = await run(await createWasmExecutor(nodePlatform(), program, file, OPTIONS), spans);
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

async function compare(file: ModelFile, stated: boolean): Promise<number> {
  const spans = stated ? "some" : "none";
  const { program } = await loadRecipeProgram(file);
  const expected = await run(await createReferenceExecutor(program, file, OPTIONS), spans);
  const got = await run(await createWasmExecutor(nodePlatform(), program, file, OPTIONS), spans);
  const largest = Math.max(...expected.map((row) => Math.max(...row.map(Math.abs))));
  return (
    Math.max(...got.map((row, r) => Math.max(...row.map((value, i) => Math.abs(value - expected[r][i]))))) /
    largest
  );
}

const pairs = NAMES.flatMap((first) =>
  NAMES.filter((second) => second !== first).map((second) => [first, second] as const),
);

describe("ordered pairs", () => {
  it.each(pairs)("%s then %s", async (first, second) => {
    const refusal = REFUSED[`${first} then ${second}`];
    if (refusal !== undefined) {
      await expect(compose(first, second)).rejects.toThrow(refusal);
      return;
    }
    const file = await compose(first, second);
    expect(await compare(file, first === "spans" || second === "spans")).toBeLessThan(0.02);
  });

  it("are twenty, three of them refused", () => {
    expect([pairs.length, Object.keys(REFUSED).length]).toEqual([20, 3]);
  });
});

describe("a method at its neutral setting leaves the other's bits", () => {
  const dipAll = (file: ModelFile) => withRecipe(file, dipRecipe(1));

  it.each(["trim", "neurons", "dip", "tender"] as const)("%s, everything stated", async (method) => {
    const file = await compose(method);
    expect(firstDifference(await bitsOf(await METHODS.spans(file), "all"), await bitsOf(file))).toBe(-1);
  });

  it.each(["trim", "neurons", "spans"] as const)("%s, all columns kept", async (method) => {
    const file = await compose(method);
    expect(firstDifference(await bitsOf(dipAll(file)), await bitsOf(file))).toBe(-1);
  });

  it.each(["trim", "dip", "spans"] as const)("%s, neurons skipped that are zero", async (method) => {
    const file = await compose(method);
    expect(firstDifference(await bitsOf(await METHODS.neurons(file)), await bitsOf(file))).toBe(-1);
  });
});

it("trimming takes the dropped sublayers' keys and values with it, whatever else was done", async () => {
  const perPosition = async (file: ModelFile) =>
    keyValueBytes((await loadRecipeProgram(file)).program, "f16");
  const whole = await perPosition(base);
  const trimmed = await dropSublayers(await compose("neurons", "spans"), [{ layer: 2, kind: "attention" }], {
    base: "t",
  });
  expect(await perPosition(trimmed.file)).toBe((5 / 6) * whole);
});

it("four methods at once agree with the reference", async () => {
  expect(await compare(await compose("trim", "neurons", "tender", "spans"), true)).toBeLessThan(0.02);
  expect(await compare(await compose("trim", "dip", "tender", "spans"), true)).toBeLessThan(0.02);
});

it("all five at once agree with the reference, with live neurons on either side of columns", async () => {
  expect(await compare(await compose("trim", "dip", "neurons", "tender", "spans"), true)).toBeLessThan(0.02);
  expect(await compare(await compose("trim", "neurons", "dip", "tender", "spans"), true)).toBeLessThan(0.02);
});
