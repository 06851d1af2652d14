/**
 * 4-bit groups along the input: the written folder holds codes and scales, shows as Q4_0, and computes exactly what the
 * rounded weights say.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { referenceLogits } from "../../../test/tender-models.ts";
import { writeModelFolder } from "../../formats/folder-writer.ts";
import { openFolder } from "../../formats/huggingface-folder.ts";
import type { Json, ModelFile } from "../../formats/model-file.ts";
import { overlayFile } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { loadProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { collectFiles, memoryFolder } from "../../platform/memory.ts";
import type { Program } from "../../program/program.ts";
import { explainTensors, loadRecipeProgram } from "../recipes.ts";
import { compressInputGroups } from "./compress.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299];
let file: ModelFile;
let program: Program;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  program = (await loadProgram(file)).program;
});

async function written(model: ModelFile): Promise<ModelFile> {
  return openFolder(memoryFolder("groups", await collectFiles((open) => writeModelFolder(model, open))));
}

async function valuesOf(model: ModelFile, name: string, row: number): Promise<Float32Array> {
  const info = model.tensors.get(name);
  if (info === undefined) throw new Error(name);
  const values = new Float32Array(info.shape[1]);
  await readDecodedRows(model, info, row, 1, values);
  return values;
}

describe("groups of inputs", () => {
  test.each([32, 64] as const)("of %i survive the folder and round to the nearest code", async (size) => {
    const { file: made, left } = compressInputGroups(file, program, size);
    // Feed-forward rows of 160 inputs are no whole groups of 64.
    expect(left).toHaveLength(size === 32 ? 0 : 2);
    const reopened = explainTensors(await written(made));
    const name = "blk.1.attn_output.weight";
    expect(reopened.tensors.get(name)?.format.name).toBe("Q4_0");
    const [before, after] = [await valuesOf(file, name, 7), await valuesOf(reopened, name, 7)];
    for (let first = 0; first < before.length; first += size) {
      const group = before.subarray(first, first + size);
      const scale = Math.max(...group.map(Math.abs)) / 7;
      group.forEach((value, j) => {
        // Half a step, plus what the 16-bit scale loses over seven steps.
        expect(Math.abs(after[first + j] - value)).toBeLessThan(scale * 0.51);
      });
    }
    const loaded = (await loadRecipeProgram(reopened)).program;
    expect(loaded.ops.every(({ kind }) => kind !== "tenderLinear")).toBe(true);
    const [got, expected] = [
      await referenceLogits(loaded, reopened, TOKENS),
      await referenceLogits(program, file, TOKENS),
    ];
    const norm = (values: Float32Array) => Math.hypot(...values);
    expect(norm(got.map((value, i) => value - expected[i])) / norm(expected)).toBeLessThan(0.35);
  });

  test("refuses sizes that fit no row, and scales that do not belong to the codes", () => {
    expect(() => compressInputGroups(file, program, 128)).toThrow(
      /no matrix has rows of whole groups of 128/,
    );
    const { file: made } = compressInputGroups(file, program, 32);
    const section = JSON.parse(JSON.stringify(made.recipes));
    section.recipes[0].size = 64;
    expect(() => explainTensors(overlayFile(made, [], section as Json))).toThrow(
      /expected 4-bit codes \(I4\) and F16 scales \[\d+, 1\]/,
    );
  });
});
