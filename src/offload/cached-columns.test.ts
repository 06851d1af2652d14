/**
 * Choices with a cache in the loop on the reference executor: gamma 1 equals plain selection bit for bit for every cache
 * size and policy, gamma 0 reads nothing once enough is resident, sequences do not depend on what came before.
 */
import { beforeAll, describe, expect, test } from "vitest";
import {
  createReferenceExecutor,
  type ReferenceExecutor,
} from "../executors/reference/reference-executor.ts";
import type { GgufModelFile } from "../formats/model-file.ts";
import { NO_PREFERENCE } from "../methods/dynamic-input-pruning/column-selection.ts";
import { freeRecipe } from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { buildProgram } from "../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import { RandomSource } from "../session/random.ts";
import { CachedColumns, type CachePolicy } from "./cached-columns.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299];
let file: GgufModelFile;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
});

async function makeExecutor(): Promise<ReferenceExecutor> {
  return createReferenceExecutor(rewriteColumns(await buildProgram(file), freeRecipe(0.5, 0.3)), file, {
    threads: 1,
    limits: { contextLength: 32, slots: 1, stepTokens: 16 },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
}

async function run(executor: ReferenceExecutor): Promise<number[]> {
  const logits: number[] = [];
  for (const [position, token] of TOKENS.entries()) {
    const row = await executor.step({
      tokens: Int32Array.of(token),
      positions: Int32Array.of(position),
      slots: Int32Array.of(0),
      outputs: Int32Array.of(0),
    });
    logits.push(...row);
  }
  return logits;
}

function attach(executor: ReferenceExecutor, gamma: number, share: number, policy: CachePolicy) {
  const createRandom = () => new RandomSource(0);
  const cached = new CachedColumns({ preference: { ...NO_PREFERENCE, gamma }, share, policy, createRandom });
  executor.chooseColumnsBy((op, x, position) => cached.choose(op, x, position));
  return cached;
}

describe("with a cache in the loop", () => {
  test("gamma 1 equals plain selection bit for bit", async () => {
    const executor = await makeExecutor();
    const plain = await run(executor);
    for (const policy of ["lru", "lfu"] as const) {
      for (const share of [0, 0.3, 1]) {
        const cached = attach(executor, 1, share, policy);
        expect(await run(executor)).toEqual(plain);
        expect(cached.hitRate).toBeGreaterThanOrEqual(0);
        if (share === 0) expect(cached.hitRate).toBe(0);
      }
    }
  });

  test("a smaller gamma hits more and changes the output", async () => {
    const executor = await makeExecutor();
    const plain = await run(executor);
    const rates: number[] = [];
    for (const gamma of [1, 0.5, 0.2, 0]) {
      const cached = attach(executor, gamma, 0.6, "lfu");
      const logits = await run(executor);
      if (gamma < 1) expect(logits).not.toEqual(plain);
      rates.push(cached.hitRate ?? Number.NaN);
    }
    expect(rates).toEqual(rates.toSorted((a, b) => a - b));
    // gamma 0: after the first token everything chosen is resident, 7 of 8 tokens
    expect(rates[3]).toBeCloseTo(7 / 8, 12);
  });

  test("caches start empty at every sequence", async () => {
    const executor = await makeExecutor();
    attach(executor, 0.2, 0.6, "lru");
    const first = await run(executor);
    expect(await run(executor)).toEqual(first);
  });
});
