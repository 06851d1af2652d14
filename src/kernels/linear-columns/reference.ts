/**
 * linearColumns: matrix times vector over chosen columns only. Sums in f64, in the order of the indices, so that the
 * list of all columns gives exactly what `linear` gives. The oracle for all other column kernels.
 */
import type { Values } from "../values.ts";

/**
 * out[n] = bias[n] + sum over k in `columns` of x[k] * weight[n, k]; x is [width], weight [outputs, width].
 */
export function linearColumns(
  out: Values,
  x: Values,
  columns: Int32Array,
  weight: Values,
  bias: Values | undefined,
  width: number,
  outputs: number,
): void {
  for (let n = 0; n < outputs; n++) {
    let sum = bias === undefined ? 0 : bias[n];
    for (const k of columns) sum += x[k] * weight[n * width + k];
    out[n] = sum;
  }
}
