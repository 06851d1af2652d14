/**
 * linearRows: matrix times vector, chosen rows only. Sums in f64, in the order of the columns, so that a
 * chosen output is exactly what `linear` gives it. The oracle for all other row kernels.
 */
import type { Values } from "../values.ts";

/** out[n] = sum over k of x[k] * weight[n, k] for n in `rows`, 0 for all others; x is [columns]. */
export function linearRows(
  out: Values,
  x: Values,
  rows: Int32Array,
  weight: Values,
  columns: number,
  outputs: number,
): void {
  out.fill(0, 0, outputs);
  for (const n of rows) {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += x[k] * weight[n * columns + k];
    out[n] = sum;
  }
}
