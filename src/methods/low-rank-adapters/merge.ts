/**
 * The tensors of adapters: what they begin with, and W + alpha / r B A, the weight that does the same without them, for
 * adapters of a program and for those of a folder.
 * Initialisation as in the paper: A normal, B zero. The deviation of A is 1 / sqrt(columns) where nothing else is asked for.
 */
import { FormatError, UnsupportedError } from "../../errors.ts";
import type { ModelFile, TensorInfo } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { normalValues } from "../../models/synthetic/random.ts";
import type { Program } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import type { StoredAdapter } from "./adapter-folder.ts";
import { type Adapter, listAdapters } from "./rewrite.ts";

/** What saved weights are read from; an executor is one. */
export interface TensorReader {
  read(tensor: string, part: "weights"): Float32Array;
}

/** The file with fresh adapters for the program's. Seed and names determine every value. */
export function withFreshAdapters(
  file: ModelFile,
  program: Program,
  seed: number,
  deviation?: number,
): ModelFile {
  const tensors = listAdapters(program).flatMap(({ down, up }): ComputedTensor[] => {
    const spread = deviation ?? 1 / Math.sqrt(down.columns);
    const first = normalValues(seed, down.tensor, down.rows * down.columns, 0, spread);
    return [
      matrix(down.tensor, down.rows, down.columns, first),
      matrix(up.tensor, up.rows, up.columns, new Float32Array(up.rows * up.columns)),
    ];
  });
  return overlayFile(file, tensors, file.recipes);
}

/** Reads tensors of `source` with the program's adapters merged into them. */
export function mergedReader(program: Program, source: TensorReader): TensorReader {
  const adapters = listAdapters(program);
  return {
    read(tensor, part) {
      const values = source.read(tensor, part);
      for (const adapter of adapters)
        if (adapter.weight.tensor === tensor) mergeInto(values, adapter, source);
      return values;
    },
  };
}

/**
 * The file with stored adapters merged into their tensors, in the tensors' own formats. FormatError for adapters of another
 * model, UnsupportedError where the weights are no floats: merging comes before quantizing.
 */
export function withMergedAdapters(file: ModelFile, adapters: readonly StoredAdapter[]): ModelFile {
  const tensors = adapters.map((adapter): ComputedTensor => {
    const info = baseOf(file, adapter);
    const { columns, factor, rank, down, up } = adapter;
    return {
      name: adapter.tensor,
      shape: info.shape,
      format: info.format,
      async values(firstRow, rowCount) {
        const values = new Float32Array(rowCount * columns);
        await readDecodedRows(file, info, firstRow, rowCount, values);
        addProduct(values, down, up.subarray(firstRow * rank, (firstRow + rowCount) * rank), factor, columns);
        return values;
      },
    };
  });
  return overlayFile(file, tensors, file.recipes);
}

/** The tensor that an adapter belongs to. */
function baseOf(file: ModelFile, { tensor, rows, columns }: StoredAdapter): TensorInfo {
  const info = file.tensors.get(tensor);
  if (info === undefined) {
    const advice =
      file.container === "gguf"
        ? "adapters name tensors as Hugging Face folders do; merge them there, before converting to GGUF"
        : "use the model they were trained on";
    throw new FormatError(`${file.name}: has no tensor ${tensor} for its adapter - ${advice}`);
  }
  if (info.shape.length !== 2 || info.shape[0] !== rows || info.shape[1] !== columns) {
    throw new FormatError(
      `${file.name}: tensor ${tensor} is [${info.shape.join(", ")}], expected the adapter's [${rows}, ${columns}] - use the model it was trained on`,
    );
  }
  if (!["F32", "F16", "BF16"].includes(info.format.name)) {
    throw new UnsupportedError(
      `${file.name}: tensor ${tensor} is ${info.format.name}, expected F32, F16 or BF16 - merge adapters before quantizing`,
    );
  }
  return info;
}

/** values += alpha / r B A in the rows of the adapter's part of the tensor. */
function mergeInto(values: Float32Array, { weight, down, up, factor }: Adapter, source: TensorReader): void {
  const [a, b] = [source.read(down.tensor, "weights"), source.read(up.tensor, "weights")];
  const { rows, columns, firstRow } = weight;
  addProduct(values.subarray(firstRow * columns, (firstRow + rows) * columns), a, b, factor, columns);
}

/** values [rows, columns] += factor B [rows, rank] A [rank, columns], summed in f64. */
function addProduct(
  values: Float32Array,
  a: Float32Array,
  b: Float32Array,
  factor: number,
  columns: number,
): void {
  const rank = a.length / columns;
  const row = new Float64Array(columns);
  for (let n = 0; n * columns < values.length; n++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const by = b[n * rank + r];
      for (let k = 0; k < columns; k++) row[k] += by * a[r * columns + k];
    }
    for (let k = 0; k < columns; k++) values[n * columns + k] += factor * row[k];
  }
}

function matrix(name: string, rows: number, columns: number, values: Float32Array): ComputedTensor {
  return {
    name,
    shape: [rows, columns],
    format: f32,
    values: (firstRow, rowCount) => values.slice(firstRow * columns, (firstRow + rowCount) * columns),
  };
}
