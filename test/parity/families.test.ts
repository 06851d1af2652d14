/**
 * Every family on the wasm executor, from synthetic checkpoints in both containers and all storages: close to the
 * reference executor; the same bits however a text is cut into steps, whoever shares a step with it, and on however
 * many threads; the same greedy tokens with and without relaxed SIMD.
 */
import { describe, expect, test } from "vitest";
import { relativeError } from "../../src/executors/case-runner.ts";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { buildProgram } from "../../src/models/registry.ts";
import {
  createSyntheticCheckpoint,
  openSyntheticFolder,
  openSyntheticGguf,
} from "../../src/models/synthetic/checkpoint.ts";
import {
  SYNTHETIC_FAMILIES,
  type SyntheticFamily,
  type SyntheticShape,
  syntheticShape,
} from "../../src/models/synthetic/shape.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { bf16 } from "../../src/quantization/bf16.ts";
import { f16 } from "../../src/quantization/f16.ts";
import { f32 } from "../../src/quantization/f32.ts";
import { q4_0 } from "../../src/quantization/q4-0.ts";
import { q8_0 } from "../../src/quantization/q8-0.ts";
import type { WeightFormat } from "../../src/quantization/weight-format.ts";
import { inlinePlatform } from "./inline-platform.ts";
import { firstDifference, greedyTokens, runInPieces, runInterleaved } from "./sequence-runs.ts";

const TEXT = Array.from({ length: 45 }, (_, t) => (t * 37 + 11) % 320);
const OTHER_TEXTS = [TEXT.slice(3, 20), [...TEXT].reverse().slice(0, 30)];
const LIMITS = { contextLength: TEXT.length, slots: 3, stepTokens: 64 };
const INLINE = inlinePlatform();

/** How far logits may be from the reference executor's, relative to the largest of their row. */
const FLOAT_BOUND = 2e-5;
/** A difference of the last bit may round a key or value to the next f16. */
const CACHE_BOUND = 1e-3;
const BOUNDS: ReadonlyMap<WeightFormat, number> = new Map([
  [f32, FLOAT_BOUND],
  [f16, FLOAT_BOUND],
  [bf16, FLOAT_BOUND],
  [q8_0, 2e-3],
  [q4_0, 0.15],
]);

type Variant = readonly [title: string, family: SyntheticFamily, changes: Partial<SyntheticShape>];

const FAMILIES: readonly Variant[] = SYNTHETIC_FAMILIES.map((family) => [family, family, {}]);

/** What only folders can say, and shapes that share work unevenly. */
const FOLDER_VARIANTS: readonly Variant[] = [
  ["llama with biases", "llama", { biases: true }],
  ["llama with gelu", "llama", { activation: "gelu" }],
  ["llama with relu", "llama", { activation: "relu" }],
  ["llama with fatrelu", "llama", { activation: "fatrelu", activationParameter: 0.2 }],
  ["llama with 3 heads to 1", "llama", { heads: 3, kvHeads: 1, headWidth: 32, rotaryWidth: 32, width: 96 }],
  ["llama with 333 words", "llama", { vocabularySize: 333, tiedHead: true }],
  ["mistral with a window", "mistral", { window: 13 }],
  ["phi3 with a window", "phi3", { window: 7 }],
];

function checkpointOf([, family, changes]: Variant) {
  return createSyntheticCheckpoint(family, syntheticShape(family, changes), 7);
}

type Setting = Pick<ExecutorOptions, "simd" | "threads" | "keyValueFormat">;
const SETTING: Setting = { simd: "relaxed", threads: 1, keyValueFormat: "f16" };

/** Runs `use` on a wasm executor of the file; one thread runs inline, more in workers. */
async function onWasm<Result>(
  file: ModelFile,
  setting: Partial<Setting>,
  use: (executor: Executor) => Promise<Result>,
): Promise<Result> {
  const options = {
    ...SETTING,
    ...setting,
    limits: LIMITS,
    weightFormat: "auto",
    onProgress: undefined,
  } as const;
  const platform = options.threads === 1 ? INLINE : nodePlatform();
  const executor = await createWasmExecutor(platform, await buildProgram(file), file, options);
  try {
    return await use(executor);
  } finally {
    await executor.dispose();
  }
}

async function onReference(file: ModelFile, keyValueFormat: "f16" | "f32"): Promise<Float32Array> {
  const options = {
    ...SETTING,
    keyValueFormat,
    limits: LIMITS,
    weightFormat: "auto",
    onProgress: undefined,
  } as const;
  const executor = await createReferenceExecutor(await buildProgram(file), file, options);
  return runInPieces(executor, TEXT, 0, [TEXT.length]);
}

const wholeText = (executor: Executor) => runInPieces(executor, TEXT, 0, [TEXT.length]);

/** All promises about one file. */
async function checkFile(file: ModelFile, bound: number): Promise<void> {
  const whole = await onWasm(file, {}, async (executor) => {
    const logits = await wholeText(executor);
    expectSameBits(await runInPieces(executor, TEXT, 1, [1, 7, 2, 13, 4]), logits);
    expectSameBits(await runInPieces(executor, TEXT, 2, [1]), logits);
    const alone = [logits];
    for (const text of OTHER_TEXTS) alone.push(await runInPieces(executor, text, 0, [64]));
    const mixed = await runInterleaved(executor, [TEXT, ...OTHER_TEXTS], 11);
    mixed.forEach((text, i) => {
      expectSameBits(text, alone[i]);
    });
    return logits;
  });
  const width = whole.length / TEXT.length;
  const precise = await onWasm(file, { keyValueFormat: "f32" }, wholeText);
  expect(relativeError(precise, await onReference(file, "f32"), width)).toBeLessThan(bound);
  expect(relativeError(whole, await onReference(file, "f16"), width)).toBeLessThan(bound + CACHE_BOUND);
  const plain = await onWasm(file, { simd: "plain" }, wholeText);
  expect(greedyTokens(plain, width)).toEqual(greedyTokens(whole, width));
}

function expectSameBits(got: Float32Array, expected: Float32Array): void {
  expect(firstDifference(got, expected)).toBe(-1);
}

function boundOf(format: WeightFormat): number {
  return BOUNDS.get(format) ?? 0;
}

describe.each(FAMILIES.map((variant) => [variant[0], variant] as const))("%s", (_, variant) => {
  test.each([f32, f16, q8_0, q4_0].map((format) => [format.name, format] as const))(
    "GGUF in %s",
    async (_name, format) => {
      await checkFile(await openSyntheticGguf(checkpointOf(variant), format), boundOf(format));
    },
  );

  test.each([f32, f16, bf16].map((format) => [format.name, format] as const))(
    "folder in %s",
    async (_name, format) => {
      await checkFile(await openSyntheticFolder(checkpointOf(variant), format), boundOf(format));
    },
  );

  test.each([q8_0, q4_0].map((format) => [format.name, format] as const))(
    "2 and 3 threads give the bits of one, in %s",
    async (_name, format) => {
      const file = await openSyntheticGguf(checkpointOf(variant), format);
      const run = (executor: Executor) => runInPieces(executor, TEXT, 0, [30, 5, 1]);
      const one = await onWasm(file, {}, run);
      expectSameBits(await onWasm(file, { threads: 2 }, run), one);
      expectSameBits(await onWasm(file, { threads: 3 }, run), one);
    },
  );
});

describe.each(FOLDER_VARIANTS.map((variant) => [variant[0], variant] as const))("%s", (_, variant) => {
  test("folder in f32, on one thread and on two", async () => {
    const file = await openSyntheticFolder(checkpointOf(variant), f32);
    await checkFile(file, FLOAT_BOUND);
    expectSameBits(await onWasm(file, { threads: 2 }, wholeText), await onWasm(file, {}, wholeText));
  });
});
