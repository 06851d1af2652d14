/**
 * Many steps on more threads than the machine has cores, where any thread may be held up at any moment: a barrier that
 * is missing shows as bits that differ from one thread's, a wake-up that is lost as a test that never ends.
 */
import { expect, test } from "vitest";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../src/models/synthetic/checkpoint.ts";
import { type SyntheticFamily, syntheticShape } from "../../src/models/synthetic/shape.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { KeyValueFormat } from "../../src/program/key-value-format.ts";
import { q4_0 } from "../../src/quantization/q4-0.ts";
import { q8_0 } from "../../src/quantization/q8-0.ts";
import { inlinePlatform } from "./inline-platform.ts";
import { firstDifference, runInPieces } from "./sequence-runs.ts";

const TEXT = Array.from({ length: 240 }, (_, t) => (t * t * 7 + t * 31 + 5) % 320);
/** Mostly single tokens, as in decoding, with batches between them. */
const LENGTHS = [17, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1, 2];

const MODELS: readonly (readonly [SyntheticFamily, number, typeof q8_0, KeyValueFormat])[] = [
  ["llama", 4, q8_0, "f16"],
  ["qwen3", 5, q4_0, "f16"],
  ["llama", 3, q8_0, "q8"],
];

test.each(MODELS)(
  "%s on %i threads gives the bits of one, step after step",
  async (family, threads, format, keyValueFormat) => {
    const file = await openSyntheticGguf(
      createSyntheticCheckpoint(family, syntheticShape(family), 9),
      format,
    );
    const run = async (count: number) => {
      const executor = await createWasmExecutor(
        count === 1 ? inlinePlatform() : nodePlatform(),
        await buildProgram(file),
        file,
        {
          threads: count,
          limits: { contextLength: 256, slots: 1, stepTokens: 32 },
          keyValueFormat,
          weightFormat: "auto",
          simd: "auto",
          onProgress: undefined,
        },
      );
      try {
        return await runInPieces(executor, TEXT, 0, LENGTHS);
      } finally {
        await executor.dispose();
      }
    };
    expect(firstDifference(await run(threads), await run(1))).toBe(-1);
  },
);
