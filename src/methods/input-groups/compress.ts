/**
 * Rounds weights to 4-bit codes in groups of inputs. No calibration: the nearest code of max|w| / 7 per group.
 * Invariant: rows are quantized when they are read; the head and embedding keep their format when they share a tensor.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import type { Program } from "../../program/program.ts";
import { f16 } from "../../quantization/f16.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../quantization/float16.ts";
import { roundHalfEven } from "../../quantization/half-even.ts";
import { i4 } from "../../quantization/i4.ts";
import { readRecipes, recipeSection } from "../recipes.ts";
import { groupScaleTensor, type InputGroupsRecipe } from "./recipe.ts";

const LIMIT = 7;

export interface InputGroupsResult {
  readonly file: ModelFile;
  readonly recipe: InputGroupsRecipe;
  /** Matrices whose rows are no whole number of groups; they keep their format. */
  readonly left: readonly string[];
}

/** UnsupportedError when no matrix of the program has rows of whole groups. */
export function compressInputGroups(
  base: ModelFile,
  program: Program,
  size: 32 | 64 | 128,
): InputGroupsResult {
  const tables = new Set(program.ops.flatMap((op) => (op.kind === "embed" ? [op.table.tensor] : [])));
  const weights = program.ops.flatMap((op) => (op.kind === "linear" ? [op.weight] : []));
  const names = [...new Set(weights.map(({ tensor }) => tensor))].filter((name) => !tables.has(name));
  const columnsOf = (name: string) => base.tensors.get(name)?.shape.at(-1) ?? 0;
  const covered = names.filter((name) => columnsOf(name) % size === 0);
  if (covered.length === 0) {
    throw new UnsupportedError(
      `${base.name}: no matrix has rows of whole groups of ${size} inputs - use a smaller size or another method`,
    );
  }
  const tensors = covered.flatMap((name) => groupTensors(base, name, size));
  const recipe: InputGroupsRecipe = { method: "inputGroups", version: 1, bits: 4, size, tensors: covered };
  return {
    file: overlayFile(base, tensors, recipeSection([...readRecipes(base), recipe])),
    recipe,
    left: names.filter((name) => !covered.includes(name)),
  };
}

function groupTensors(base: ModelFile, name: string, size: number): ComputedTensor[] {
  const info = base.tensors.get(name);
  if (info === undefined) throw new Error(`input groups: unknown tensor ${name}`);
  const columns = info.shape[info.shape.length - 1];
  const read = async (firstRow: number, rowCount: number) => {
    const values = new Float32Array(rowCount * columns);
    await readDecodedRows(base, info, firstRow, rowCount, values);
    return values;
  };
  return [
    {
      name,
      shape: info.shape,
      format: i4,
      values: async (firstRow, rowCount) => {
        const values = await read(firstRow, rowCount);
        for (let at = 0; at < values.length; at += size) roundGroup(values.subarray(at, at + size));
        return values;
      },
    },
    {
      name: groupScaleTensor(name),
      shape: [...info.shape.slice(0, -1), columns / size],
      format: f16,
      values: async (firstRow, rowCount) => {
        const values = await read(firstRow, rowCount);
        return Float32Array.from({ length: values.length / size }, (_, group) =>
          groupScale(values.subarray(group * size, (group + 1) * size)),
        );
      },
    },
  ];
}

/** As stored, in 16 bits. */
function groupScale(group: Float32Array): number {
  let largest = 0;
  for (let j = 0; j < group.length; j++) largest = Math.max(largest, Math.abs(group[j]));
  return float16ToFloat32(float32ToFloat16(largest / LIMIT));
}

/** Values to codes, in place. */
function roundGroup(group: Float32Array): void {
  const scale = groupScale(group);
  for (let j = 0; j < group.length; j++) {
    group[j] = scale === 0 ? 0 : Math.max(-LIMIT, Math.min(LIMIT, roundHalfEven(group[j] / scale)));
  }
}
