/**
 * Choices with a cache in the loop on the reference executor: gamma 1 equals plain selection bit for bit for every cache
 * size and policy, gamma 0 reads nothing once enough is resident, sequences do not depend on what came before.
 */
import { beforeAll, describe, expect, test } from "vitest";
import {
  createReferenceExecutor,
  type ReferenceExecutor,
} from "../../executors/reference/reference-executor.ts";
import type { GgufModelFile } from "../../formats/model-file.ts";
import { CAUSAL_POLICIES } from "./eviction.ts";
import { freeRecipe } from "./recipe.ts";
import { rewriteColumns } from "./rewrite.ts";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import type { CacheSettings } from "./cached-columns.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299];
let file: GgufModelFile;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
});

async function makeExecutor(columnCache?: CacheSettings): Promise<ReferenceExecutor> {
  return createReferenceExecutor(rewriteColumns(await buildProgram(file), freeRecipe(0.5, 0.3)), file, {
    threads: 1,
    limits: { contextLength: 32, slots: 1, stepTokens: 16 },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    columnCache,
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

const hitRate = (executor: ReferenceExecutor) => {
  const { chosen = 0, hits = 0 } = executor.cacheCounts() ?? {};
  return hits / chosen;
};

describe("with a cache in the loop", () => {
  test("gamma 1 equals plain selection bit for bit", async () => {
    const plain = await run(await makeExecutor());
    for (const policy of CAUSAL_POLICIES) {
      for (const share of [0, 0.3, 1]) {
        const executor = await makeExecutor({ gamma: 1, share, policy });
        expect(await run(executor)).toEqual(plain);
        if (share === 0 || policy === "none") expect(hitRate(executor)).toBe(0);
        else expect(hitRate(executor)).toBeGreaterThan(0);
      }
    }
  });

  test("a smaller gamma hits more and changes the output", async () => {
    const plain = await run(await makeExecutor());
    const rates: number[] = [];
    for (const gamma of [1, 0.5, 0.2, 0]) {
      const executor = await makeExecutor({ gamma, share: 0.6, policy: "lfu" });
      const logits = await run(executor);
      if (gamma < 1) expect(logits).not.toEqual(plain);
      rates.push(hitRate(executor));
    }
    expect(rates).toEqual(rates.toSorted((a, b) => a - b));
    // gamma 0: after the first token everything chosen is resident, 7 of 8 tokens
    expect(rates[3]).toBeCloseTo(7 / 8, 12);
  });

  test("caches start empty at every sequence", async () => {
    const executor = await makeExecutor({ gamma: 0.2, share: 0.6, policy: "lru" });
    const first = await run(executor);
    expect(await run(executor)).toEqual(first);
  });

  test("refuses what cannot be cached", async () => {
    await expect(makeExecutor({ gamma: 1.5, share: 0.5, policy: "lru" })).rejects.toThrow(
      /gamma: out of range/,
    );
    await expect(makeExecutor({ gamma: 0.5, share: 2, policy: "lru" })).rejects.toThrow(/cache share/);
  });
});
