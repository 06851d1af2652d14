/**
 * rmsNorm: root mean square normalisation (arXiv 1910.07467), optionally per group (per-head norms of Qwen3).
 * Sums in f64. In place when out is x. The oracle for all other rmsNorm kernels.
 */
import type { Values } from "../values.ts";

/**
 * out = x / sqrt(mean(x^2) + epsilon) * weight for each of `groups` equal parts of each row. x and out are
 * [rows, width], weight is [width / groups].
 */
export function rmsNorm(
  out: Values,
  x: Values,
  weight: Values,
  rows: number,
  width: number,
  groups: number,
  epsilon: number,
): void {
  const groupWidth = width / groups;
  for (let group = 0; group < rows * groups; group++) {
    const start = group * groupWidth;
    let sumOfSquares = 0;
    for (let i = 0; i < groupWidth; i++) {
      sumOfSquares += x[start + i] * x[start + i];
    }
    const inverse = 1 / Math.sqrt(sumOfSquares / groupWidth + epsilon);
    for (let i = 0; i < groupWidth; i++) {
      out[start + i] = x[start + i] * inverse * weight[i];
    }
  }
}
