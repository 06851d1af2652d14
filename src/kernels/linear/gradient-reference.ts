/**
 * Gradients of linear (y = x W^T + b), sums in f64 in index order. The oracle of the blocked GEMM kernels.
 * x is [rows, columns], W [outputs, columns], y and dy [rows, outputs].
 */
import type { Values } from "../values.ts";

/** dx[t, k] = sum_n dy[t, n] W[n, k], added to dx with `accumulate`. */
export function linearInputGradient(
  dx: Values,
  dy: Values,
  weight: Values,
  rows: number,
  columns: number,
  outputs: number,
  accumulate: boolean,
): void {
  for (let t = 0; t < rows; t++) {
    for (let k = 0; k < columns; k++) {
      let sum = accumulate ? dx[t * columns + k] : 0;
      for (let n = 0; n < outputs; n++) sum += dy[t * outputs + n] * weight[n * columns + k];
      dx[t * columns + k] = sum;
    }
  }
}

/** dW[n, k] += sum_t dy[t, n] x[t, k] */
export function linearWeightGradient(
  dWeight: Values,
  dy: Values,
  x: Values,
  rows: number,
  columns: number,
  outputs: number,
): void {
  for (let n = 0; n < outputs; n++) {
    for (let k = 0; k < columns; k++) {
      let sum = dWeight[n * columns + k];
      for (let t = 0; t < rows; t++) sum += dy[t * outputs + n] * x[t * columns + k];
      dWeight[n * columns + k] = sum;
    }
  }
}

/** db[n] += sum_t dy[t, n] */
export function biasGradient(dBias: Values, dy: Values, rows: number, outputs: number): void {
  for (let n = 0; n < outputs; n++) {
    let sum = dBias[n];
    for (let t = 0; t < rows; t++) sum += dy[t * outputs + n];
    dBias[n] = sum;
  }
}
