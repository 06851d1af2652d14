/**
 * The wasm trainer against the reference on shapes whose every extent leaves a tail: heads of 6, widths,
 * vocabulary and rows that are multiples of nothing, and more rows than one block of a reduction.
 */
import { expect, test } from "vitest";
import { loadProgram } from "../../models/registry.ts";
import { nodePlatform } from "../../platform/node.ts";
import { differentiate } from "../../program/differentiate.ts";
import { createFreshModel } from "../../training/fresh-model.ts";
import { fillWeights, relativeDifference } from "../../../test/training-runs.ts";
import { ReferenceTraining } from "./reference-training.ts";
import type { TrainingBatch } from "./training-executor.ts";
import { createWasmTraining } from "./wasm-training.ts";

function batchOf(lengths: readonly number[], vocabulary: number): TrainingBatch {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const outputs = Int32Array.from({ length: Math.floor(rows * 0.7) }, (_, i) => Math.floor(i / 0.7));
  return {
    tokens: Int32Array.from({ length: rows }, (_, i) => (i * 31 + (i >> 3)) % vocabulary),
    positions: Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
    bounds: Int32Array.from([0, ...lengths].map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0))),
    outputs,
    targets: Int32Array.from(outputs, (row) => (row * 17 + 3) % vocabulary),
  };
}

test.each([
  ["heads of 6, grouped", { width: 36, heads: 6, kvHeads: 3, feedForwardWidth: 50, vocabularySize: 77 }, 0],
  ["heads of 18", { width: 18, heads: 1, kvHeads: 1, feedForwardWidth: 21, vocabularySize: 301 }, 0],
  // The penalty jumps where an activation crosses zero, so rounding may move a gradient:
  // it is checked on few of them.
  ["heads of 2", { width: 10, heads: 5, kvHeads: 1, feedForwardWidth: 9, vocabularySize: 13 }, 0.0003],
])("%s", async (_, dimensions, l1) => {
  const shape = { layers: 2, contextLength: 210, tiedHead: true, activation: "silu", ...dimensions };
  const tokenizer = { json: {}, config: {}, bosId: 0, eosId: 0 };
  const { program } = await loadProgram(createFreshModel(shape, 1, tokenizer));
  const differentiated = differentiate(program, { l1: true });
  const weights = { target: 0.01, teacher: 0, l1 };
  const limits = { rows: 311, sequenceLength: 210 };
  const reference = new ReferenceTraining(differentiated, limits);
  const wasm = await createWasmTraining(nodePlatform(), differentiated, { threads: 2, limits, simd: "auto" });
  try {
    fillWeights(reference, 0.3);
    fillWeights(wasm, 0.3);
    for (const lengths of [[203, 95, 13], [1], [7, 64, 65, 1, 1]]) {
      const batch = batchOf(lengths, shape.vocabularySize);
      const [losses, expected] = [
        await wasm.accumulate(batch, weights),
        await reference.accumulate(batch, weights),
      ];
      expect(Math.abs(losses.target - expected.target)).toBeLessThanOrEqual(2e-5 * expected.target);
      expect(Math.abs(losses.l1 - expected.l1)).toBeLessThanOrEqual(2e-5 * expected.l1);
    }
    // Gradients of all three batches have added up.
    for (const { tensor } of differentiated.parameters) {
      const error = relativeDifference(wasm.read(tensor, "gradients"), reference.read(tensor, "gradients"));
      expect(error, tensor).toBeLessThan(1e-4);
    }
  } finally {
    await wasm.dispose();
  }
});
