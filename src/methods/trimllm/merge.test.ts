/** Merged layers: sums of differences, nothing for equal layers, and a model that runs. */
import { beforeAll, expect, test } from "vitest";
import { referenceLogits } from "../../../test/tender-models.ts";
import { throughFolder } from "../../../test/trimmed-models.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import type { Program } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { loadRecipeProgram } from "../recipes.ts";
import { dropSublayers } from "./drop.ts";
import { mergeLayers } from "./merge.ts";

let file: ModelFile;
let program: Program;

beforeAll(async () => {
  file = await openSyntheticFolder(
    createSyntheticCheckpoint("llama", syntheticShape("llama", { layers: 4 }), 5),
  );
  program = (await loadRecipeProgram(file)).program;
});

async function valuesOf(model: ModelFile, name: string): Promise<Float32Array> {
  const info = model.tensors.get(name);
  if (info === undefined) throw new Error(name);
  const count = info.shape.reduce((product, size) => product * size, 1);
  const values = new Float32Array(count);
  await readDecodedRows(model, info, 0, count / (info.shape.at(-1) ?? 1), values);
  return values;
}

const tensor = (layer: number) => `model.layers.${layer}.mlp.up_proj.weight`;

test("a layer takes up the differences of those that go", async () => {
  const merged = mergeLayers(file, program, [2, 3], 1);
  const [one, two, three] = await Promise.all([1, 2, 3].map((layer) => valuesOf(file, tensor(layer))));
  const expected = one.map((value, i) => value + (two[i] - value) + (three[i] - value));
  expect(await valuesOf(merged, tensor(1))).toEqual(expected);
  expect(await valuesOf(merged, tensor(0))).toEqual(await valuesOf(file, tensor(0)));
  const dropped = [2, 3].flatMap((layer) => [
    { layer, kind: "attention" as const },
    { layer, kind: "mlp" as const },
  ]);
  const { file: opened } = await throughFolder((await dropSublayers(merged, dropped)).file);
  expect(await valuesOf(opened, tensor(1))).toEqual(expected);
  const { program: left } = await loadRecipeProgram(opened);
  expect((await referenceLogits(left, opened, [1, 2, 3])).every(Number.isFinite)).toBe(true);
});

test("layers that are equal change nothing", async () => {
  const names = [...file.tensors.keys()].filter((name) => name.includes("layers.2."));
  const copies = names.map((name): ComputedTensor => {
    const source = name.replace("layers.2.", "layers.1.");
    const shape = file.tensors.get(source)?.shape ?? [];
    const columns = shape.at(-1) ?? 1;
    return {
      name,
      shape,
      format: f32,
      values: async (first, count) =>
        (await valuesOf(file, source)).slice(first * columns, (first + count) * columns),
    };
  });
  const equal = overlayFile(file, copies, undefined);
  const merged = mergeLayers(equal, program, [2], 1);
  for (const name of equal.tensors.keys())
    expect(await valuesOf(merged, name)).toEqual(await valuesOf(equal, name));
});

test("half a layer cannot be merged", async () => {
  const { file: made } = await dropSublayers(file, [{ layer: 2, kind: "mlp" }]);
  const { program: left } = await loadRecipeProgram(made);
  expect(() => mergeLayers(made, left, [2], 1)).toThrow(/with its attention and its MLP/);
});
