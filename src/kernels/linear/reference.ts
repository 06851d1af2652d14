/**
 * linear: matrix product with a weight of [outputs, inputs], plus an optional bias. Sums in f64, in index
 * order. The oracle for all other linear kernels.
 */
import type { Values } from "../values.ts";

/** Which outputs to compute; lets a caller do a large product in pieces. */
export interface OutputRange {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

/**
 * out[t, n] = sum_k x[t, k] * weight[n, k] + bias[n] for the outputs n in `range`. x is [rows, columns],
 * weight [outputs, columns], out [rows, outputs].
 */
export function linear(
  out: Values,
  x: Values,
  weight: Values,
  bias: Values | undefined,
  rows: number,
  columns: number,
  outputs: number,
  range: OutputRange,
): void {
  for (let t = 0; t < rows; t++) {
    for (let n = range.first; n < range.end; n++) {
      let sum = bias === undefined ? 0 : bias[n];
      for (let k = 0; k < columns; k++) {
        sum += x[t * columns + k] * weight[n * columns + k];
      }
      out[t * outputs + n] = sum;
    }
  }
}
