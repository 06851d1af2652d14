/**
 * Runs the golden suite on the wasm executor: one and two threads, kernels with and without relaxed SIMD, keys and
 * values in f32, f16 and bytes. With float weights and f32 keys and values it is held to the bounds of f32 arithmetic.
 * Q4_0 weights meet 8-bit activations and Q4_1 and Q5_1 are kept in 8 bits, which moves single logits by tenths.
 */
import type { ExecutorOptions } from "../../src/executors/executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { KeyValueFormat } from "../../src/program/key-value-format.ts";
import {
  describeGolden,
  type ExecutorFactory,
  F32_TOLERANCES,
  type GoldenBounds,
} from "./reference-suite.ts";

const SMALL_BLOCKS = { logits: 0.75, nll: 0.01 };

/** Keys and values of 8 channels in 8 bits move single logits of so small a model by ones, the text's likelihood by little. */
const BYTES = { logits: 3, nll: 0.02 };

const BOUNDS: Readonly<Record<KeyValueFormat, GoldenBounds>> = {
  f32: {
    floats: F32_TOLERANCES,
    quantized: {
      q8_0: { logits: 5e-3, nll: 1e-4 },
      q4_0: SMALL_BLOCKS,
      q4_1: SMALL_BLOCKS,
      q5_1: SMALL_BLOCKS,
    },
    greedy: true,
  },
  f16: {
    floats: { logits: 0.15, nll: 1e-3 },
    quantized: {
      q8_0: { logits: 0.15, nll: 1e-3 },
      q4_0: SMALL_BLOCKS,
      q4_1: SMALL_BLOCKS,
      q5_1: SMALL_BLOCKS,
    },
    greedy: true,
  },
  q8: {
    floats: BYTES,
    quantized: { q8_0: BYTES, q4_0: BYTES, q4_1: BYTES, q5_1: BYTES },
    greedy: false,
  },
};

type Setting = Pick<ExecutorOptions, "simd" | "threads" | "keyValueFormat">;

const SETTINGS: readonly Setting[] = [
  { simd: "relaxed", threads: 1, keyValueFormat: "f32" },
  { simd: "relaxed", threads: 2, keyValueFormat: "f32" },
  { simd: "plain", threads: 1, keyValueFormat: "f32" },
  { simd: "plain", threads: 2, keyValueFormat: "f32" },
  { simd: "relaxed", threads: 2, keyValueFormat: "f16" },
  { simd: "plain", threads: 1, keyValueFormat: "f16" },
  { simd: "relaxed", threads: 2, keyValueFormat: "q8" },
  { simd: "plain", threads: 1, keyValueFormat: "q8" },
];

for (const setting of SETTINGS) {
  const { simd, threads, keyValueFormat } = setting;
  const create: ExecutorFactory = (program, file, options) =>
    createWasmExecutor(nodePlatform(), program, file, { ...options, ...setting });
  describeGolden(
    `wasm (${simd} SIMD, threads ${threads}, ${keyValueFormat} cache)`,
    create,
    BOUNDS[keyValueFormat],
  );
}
