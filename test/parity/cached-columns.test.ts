/**
 * Cache-aware choices of columns (DIP-CA) on the wasm executor: gamma 1 equals plain choices bit for bit for every cache size,
 * policy and number of threads; other gammas choose what the reference chooses; sequences start with empty caches; a
 * stopped step leaves no trace.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { GgufModelFile } from "../../src/formats/model-file.ts";
import type { CacheSettings } from "../../src/methods/dynamic-input-pruning/cached-columns.ts";
import { CAUSAL_POLICIES } from "../../src/methods/dynamic-input-pruning/eviction.ts";
import { freeRecipe, neuronRecipe } from "../../src/methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../../src/methods/dynamic-input-pruning/rewrite.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../src/models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../src/models/synthetic/shape.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { Program } from "../../src/program/program.ts";
import { runBehindPrompt, worstDifference } from "./sequence-runs.ts";

const OPTIONS: ExecutorOptions = {
  threads: 2,
  limits: { contextLength: 64, slots: 1, stepTokens: 16 },
  keyValueFormat: "f32",
  weightFormat: "f32",
  simd: "auto",
  onProgress: undefined,
};
const PROMPT = [1, 300, 17];
const GENERATED = [42, 260, 5, 311, 299, 7, 42, 42, 18, 260, 5, 300];

let file: GgufModelFile;
let program: Program;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  program = rewriteColumns(await buildProgram(file), freeRecipe(0.5, 0.3));
});

const generate = (executor: Executor, prompt: readonly number[] = PROMPT) =>
  runBehindPrompt(executor, prompt, GENERATED);

const wasm = (columnCache?: CacheSettings, options: Partial<ExecutorOptions> = {}) =>
  createWasmExecutor(nodePlatform(), program, file, { ...OPTIONS, ...options, columnCache });
const reference = (columnCache?: CacheSettings) =>
  createReferenceExecutor(program, file, { ...OPTIONS, columnCache });

describe("a cache in the loop of the wasm executor", () => {
  test.each([1, 3])("gamma 1 equals plain choices bit for bit, %d threads", async (threads) => {
    await using plain = disposed(await wasm(undefined, { threads }));
    const expected = await generate(plain.executor);
    for (const policy of CAUSAL_POLICIES) {
      for (const share of [0, 0.3]) {
        await using cached = disposed(await wasm({ gamma: 1, policy, share }, { threads }));
        expect(await generate(cached.executor)).toEqual(expected);
      }
    }
  });

  test("other gammas choose and hit what the reference chooses and hits", async () => {
    const plain = await generate(await reference());
    for (const policy of CAUSAL_POLICIES) {
      for (const share of policy === "none" ? [0.5] : [0.1, 0.6]) {
        for (const gamma of [0, 0.2]) {
          const slow = await reference({ gamma, policy, share });
          const expected = await generate(slow);
          await using fast = disposed(await wasm({ gamma, policy, share }));
          const name = `${policy} ${share} ${gamma}`;
          expect(worstDifference(await generate(fast.executor), expected), name).toBeLessThan(1e-4);
          expect(fast.executor.cacheCounts(), name).toEqual(slow.cacheCounts());
          if (policy !== "none" && share > 0.5)
            expect(worstDifference(expected, plain), name).toBeGreaterThan(1e-3);
        }
      }
    }
  });

  test("threads agree, and prompts start with empty caches", async () => {
    const settings: CacheSettings = { gamma: 0.2, policy: "lfu", share: 0.3 };
    await using one = disposed(await wasm(settings, { threads: 1 }));
    await using three = disposed(await wasm(settings, { threads: 3 }));
    const expected = await generate(one.executor);
    expect(await generate(three.executor)).toEqual(expected);
    // A longer prompt, so that positions go on rising; then the first one again.
    await generate(three.executor, [...PROMPT, ...GENERATED]);
    expect(await generate(three.executor)).toEqual(expected);
    // Without a prompt a sequence begins at position 0.
    expect(await generate(three.executor, [])).toEqual(await generate(one.executor, []));
  });

  test("choices of neurons have caches too", async () => {
    const neurons = rewriteColumns(await buildProgram(file), neuronRecipe("gate", 0.4));
    const columnCache: CacheSettings = { gamma: 0.3, policy: "lru", share: 0.5 };
    const slow = await createReferenceExecutor(neurons, file, { ...OPTIONS, columnCache });
    await using fast = disposed(
      await createWasmExecutor(nodePlatform(), neurons, file, { ...OPTIONS, columnCache }),
    );
    expect(worstDifference(await generate(fast.executor), await generate(slow))).toBeLessThan(1e-4);
    expect(fast.executor.cacheCounts()).toEqual(slow.cacheCounts());
  });

  test("refuses sequences that would share a cache, and programs that choose nothing", async () => {
    const settings: CacheSettings = { gamma: 0.2, policy: "lru", share: 0.3 };
    const limits = { ...OPTIONS.limits, slots: 2 };
    await expect(wasm(settings, { limits })).rejects.toThrow(/gamma: expected 1 with 2 sequences at once/);
    const dense = await buildProgram(file);
    await expect(
      createWasmExecutor(nodePlatform(), dense, file, { ...OPTIONS, columnCache: settings }),
    ).rejects.toThrow(/no columns to choose from/);
  });
});

function disposed<E extends Executor>(executor: E) {
  return { executor, [Symbol.asyncDispose]: () => executor.dispose() };
}
