/**
 * Loads a program's weights as f32 arrays: exactly what the file decodes to, or, for a forced storage,
 * what that storage would keep of it (encode, decode). Weights that share rows of a tensor (tied
 * heads) share one array.
 */
import type { ModelFile, TensorInfo } from "../../formats/model-file.ts";
import { readDecodedRows, storedTensor } from "../../models/decoded-rows.ts";
import { programWeights } from "../../program/dataflow.ts";
import type { Program, Weight } from "../../program/program.ts";
import { forcedStorage } from "../../program/weight-storage.ts";
import { formatBytes, type WeightFormat } from "../../quantization/weight-format.ts";
import type { ExecutorOptions } from "../executor.ts";
import { allocate } from "./arrays.ts";

/** Values decoded at a time: bounds the memory for encoded bytes to a few MB. */
const CHUNK_VALUES = 1 << 20;

export interface LoadedWeights {
  /** f32 [rows, columns] by weight name. */
  readonly values: ReadonlyMap<string, Float32Array>;
  /** Bytes held, shared arrays counted once. */
  readonly bytes: number;
}

/** Throws FormatError when the file lacks a tensor, ResourceError when memory does not suffice. */
export async function loadWeights(
  program: Program,
  file: ModelFile,
  options: Pick<ExecutorOptions, "weightFormat" | "onProgress">,
): Promise<LoadedWeights> {
  const byRows = new Map<string, Weight[]>();
  for (const weight of programWeights(program)) {
    const key = JSON.stringify([weight.tensor, weight.firstRow, weight.rows, weight.columns]);
    byRows.set(key, [...(byRows.get(key) ?? []), weight]);
  }
  const groups = [...byRows.values()];
  const total = groups.reduce((sum, [weight]) => sum + 4 * weight.rows * weight.columns, 0);
  const values = new Map<string, Float32Array>();
  let bytes = 0;
  for (const group of groups) {
    const array = await loadWeight(group[0], file, options.weightFormat);
    for (const weight of group) {
      values.set(weight.name, array);
    }
    bytes += array.byteLength;
    options.onProgress?.(bytes, total);
  }
  return { values, bytes };
}

async function loadWeight(
  weight: Weight,
  file: ModelFile,
  weightFormat: ExecutorOptions["weightFormat"],
): Promise<Float32Array> {
  const tensor = storedTensor(file, weight);
  const array = allocate(weight.rows * weight.columns, `weight ${weight.name}`);
  const rowsPerChunk = Math.max(1, Math.floor(CHUNK_VALUES / weight.columns));
  for (let row = 0; row < weight.rows; row += rowsPerChunk) {
    const count = Math.min(rowsPerChunk, weight.rows - row);
    const chunk = array.subarray(row * weight.columns, (row + count) * weight.columns);
    await readDecodedRows(file, tensor, weight.firstRow + row, count, chunk);
    if (weightFormat !== "auto" && tensor.format.codes !== true) {
      keepWhatStorageKeeps(chunk, tensor, forcedStorage(weight, weightFormat));
    }
  }
  return array;
}

function keepWhatStorageKeeps(values: Float32Array, tensor: TensorInfo, storage: WeightFormat): void {
  if (storage.name === tensor.format.name) {
    return; // already exactly what the storage keeps
  }
  if (storage.encode === undefined) {
    throw new Error(`reference executor: weight storage ${storage.name} has no encoder`);
  }
  const bytes = new Uint8Array(formatBytes(storage, values.length));
  storage.encode(values, bytes);
  storage.decode(bytes, values);
}
