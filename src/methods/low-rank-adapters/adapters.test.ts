/**
 * Adapters: nothing at first, trained alone, merged without a difference, gone with the sublayer they belong to.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { inlinePlatform } from "../../../test/parity/inline-platform.ts";
import { referenceLogits } from "../../../test/tender-models.ts";
import { createWasmTraining, type WasmTraining } from "../../executors/training/wasm-training.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { SYNTHETIC_FAMILIES, type SyntheticFamily, syntheticShape } from "../../models/synthetic/shape.ts";
import { differentiate } from "../../program/differentiate.ts";
import type { Program } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { packSequences } from "../../training/batches.ts";
import { loadParameters } from "../../training/load-parameters.ts";
import { loadRecipeProgram } from "../recipes.ts";
import { removeSublayers } from "../trimllm/rewrite.ts";
import { linearColumns } from "../../kernels/linear-columns/reference.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { mergedReader, withFreshAdapters, withMergedAdapters } from "./merge.ts";
import { ADAPTER_TARGETS, addAdapters, isAdapterWeight, listAdapters } from "./rewrite.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299, 17, 42];
const OPTIONS = { rank: 3, alpha: 6, targets: ADAPTER_TARGETS };
const DROPPED = [{ layer: 1, kind: "attention" as const }];
const executors: WasmTraining[] = [];
let file: ModelFile;
let program: Program;

async function open(family: SyntheticFamily): Promise<void> {
  file = await openSyntheticFolder(
    createSyntheticCheckpoint(family, syntheticShape(family, { layers: 3 }), 5),
  );
  program = (await loadRecipeProgram(file)).program;
}

beforeAll(() => open("llama"));
afterEach(async () => {
  for (const executor of executors.splice(0)) await executor.dispose();
});

/** Some updates of the adapters alone. */
async function trained(adapted: Program): Promise<WasmTraining> {
  const training = differentiate(adapted, { trainable: isAdapterWeight });
  const executor = await createWasmTraining(inlinePlatform(), training, {
    threads: 1,
    limits: { rows: 16, sequenceLength: 16 },
    simd: "auto",
  });
  executors.push(executor);
  await loadParameters(withFreshAdapters(file, adapted, 1), executor);
  const batch = packSequences([{ tokens: Int32Array.from(TOKENS), firstTarget: 1 }]);
  for (let step = 1; step <= 5; step++) {
    await executor.accumulate(batch, { target: 1 / batch.targets.length, teacher: 0, l1: 0 });
    await executor.update({
      learningRate: 0.02,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0,
      step,
      gradientScale: 1,
    });
  }
  return executor;
}

/** The file with the values that `read` gives for all tensors of the program. */
function fileOf(program: Program, read: (tensor: string) => Float32Array): ModelFile {
  const weights = new Map(
    program.ops.flatMap((op) => (op.kind === "linear" ? [[op.weight.tensor, op.weight] as const] : [])),
  );
  const tensors = [...weights].map(([name, { columns }]): ComputedTensor => {
    const values = read(name);
    return {
      name,
      shape: [values.length / columns, columns],
      format: f32,
      values: (first, count) => values.slice(first * columns, (first + count) * columns),
    };
  });
  return overlayFile(file, tensors, undefined);
}

function expectClose(got: Float32Array, expected: Float32Array): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  got.forEach((value, i) => {
    expect(Math.abs(value - expected[i])).toBeLessThan(1e-5 * largest);
  });
}

describe("adapters", () => {
  test("change nothing before they are trained", async () => {
    const adapted = addAdapters(program, OPTIONS);
    expect(listAdapters(adapted)).toHaveLength(3 * 7);
    const fresh = withFreshAdapters(file, adapted, 1);
    expect(await referenceLogits(adapted, fresh, TOKENS)).toEqual(
      await referenceLogits(program, file, TOKENS),
    );
  });

  test.each(SYNTHETIC_FAMILIES)("merged are as adapters, before and after dropping: %s", async (family) => {
    await open(family);
    const adapted = addAdapters(program, OPTIONS);
    const executor = await trained(adapted);
    const beside = fileOf(adapted, (tensor) => executor.read(tensor, "weights"));
    const reader = mergedReader(adapted, executor);
    const merged = fileOf(program, (tensor) => reader.read(tensor, "weights"));
    const expected = await referenceLogits(adapted, beside, TOKENS);
    expectClose(await referenceLogits(program, merged, TOKENS), expected);
    expect(expected).not.toEqual(await referenceLogits(program, file, TOKENS));

    // Those of a dropped sublayer are gone with it.
    const trimmed = removeSublayers(adapted, DROPPED);
    expect(
      listAdapters(trimmed).filter(({ weight }) => weight.name.startsWith("layers.1.attention")),
    ).toEqual([]);
    expect(listAdapters(trimmed).length).toBeLessThan(listAdapters(adapted).length);
    expectClose(
      await referenceLogits(removeSublayers(program, DROPPED), merged, TOKENS),
      await referenceLogits(trimmed, beside, TOKENS),
    );
  });

  test("are all that is trained", async () => {
    await open("llama");
    const adapted = addAdapters(program, { ...OPTIONS, targets: ["attention.query", "feedForward.down"] });
    const executor = await trained(adapted);
    const fresh = withFreshAdapters(file, adapted, 1);
    for (const { tensor, trainable } of executor.program.parameters) {
      expect(trainable).toBe(tensor.includes("adapter"));
      if (!trainable) expect(() => executor.read(tensor, "first")).toThrow(/no first/);
    }
    const untouched = await createWasmTraining(inlinePlatform(), executor.program, {
      threads: 1,
      limits: executor.limits,
      simd: "auto",
    });
    executors.push(untouched);
    await loadParameters(fresh, untouched);
    for (const { tensor, trainable } of executor.program.parameters) {
      const same = expect(executor.read(tensor, "weights"));
      if (trainable) same.not.toEqual(untouched.read(tensor, "weights"));
      else same.toEqual(untouched.read(tensor, "weights"));
    }
  });

  test("need something to stand beside", () => {
    const none = removeSublayers(
      program,
      [0, 1, 2].map((layer) => ({ layer, kind: "attention" as const })),
    );
    expect(() => addAdapters(none, { ...OPTIONS, targets: ["attention.query"] })).toThrow(
      /with such linears/,
    );
  });
});

test("an adapter that sees chosen inputs alone equals its merged weight: W = [1 2 0; 0 -1 3], mask 101", async () => {
  const values = Float32Array.of(1, 2, 0, 0, -1, 3);
  const toy = overlayFile(file, [{ name: "toy", shape: [2, 3], format: f32, values: () => values }], []);
  const [down, up] = [Float32Array.of(1, 0, -1), Float32Array.of(0.5, -1)];
  const adapter = { tensor: "toy", rows: 2, columns: 3, rank: 1, factor: 1, down, up };
  const merged = withMergedAdapters(toy, [adapter]);
  const info = merged.tensors.get("toy");
  if (info === undefined) throw new Error("expected the tensor");
  const weight = new Float32Array(6);
  await readDecodedRows(merged, info, 0, 2, weight);
  expect([...weight]).toEqual([1.5, 2, -0.5, -1, -1, 4]);
  const [x, chosen] = [Float32Array.of(2, 1, -1), Int32Array.of(0, 2)];
  const product = (matrix: Float32Array) => {
    const out = new Float32Array(2);
    linearColumns(out, x, chosen, matrix, undefined, 3, 2);
    return [...out];
  };
  expect(product(values)).toEqual([2, -3]);
  const seen = chosen.reduce((sum, column) => sum + x[column] * down[column], 0);
  expect(product(values).map((base, row) => base + seen * up[row])).toEqual([3.5, -6]);
  expect(product(weight)).toEqual([3.5, -6]);
});
