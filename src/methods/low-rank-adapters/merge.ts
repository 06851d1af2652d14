/**
 * The tensors of adapters: what they begin with, and W + alpha / r B A, the weight that does the same without them.
 * Initialisation as in the paper: A normal, B zero.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { normalValues } from "../../models/synthetic/random.ts";
import type { Program } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { type Adapter, listAdapters } from "./rewrite.ts";

/** What saved weights are read from; an executor is one. */
export interface TensorReader {
  read(tensor: string, part: "weights"): Float32Array;
}

/** The file with fresh adapters for the program's. Seed and names determine every value. */
export function withFreshAdapters(file: ModelFile, program: Program, seed: number): ModelFile {
  const tensors = listAdapters(program).flatMap(({ down, up }): ComputedTensor[] => {
    const first = normalValues(seed, down.tensor, down.rows * down.columns, 0, 1 / Math.sqrt(down.columns));
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

/** values += alpha / r B A, in f64, in the rows of the adapter's part of the tensor. */
function mergeInto(values: Float32Array, { weight, down, up, factor }: Adapter, source: TensorReader): void {
  const [a, b] = [source.read(down.tensor, "weights"), source.read(up.tensor, "weights")];
  const { rows, columns, firstRow } = weight;
  const rank = down.rows;
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += b[n * rank + r] * a[r * columns + k];
      values[(firstRow + n) * columns + k] += factor * sum;
    }
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
