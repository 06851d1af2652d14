/**
 * Gradients of rmsNorm, sums in f64. With r = 1 / sqrt(mean(x^2) + epsilon) and y = x r w per group of width
 * w: dx = r (w dy) - x r^3 mean(x w dy), dw = sum over rows and groups of dy x r.
 * x, dy and dx are [rows, width], the weight is [width / groups].
 */
import type { Values } from "../values.ts";

export interface NormShape {
  readonly rows: number;
  readonly width: number;
  readonly groups: number;
  readonly epsilon: number;
}

/** Writes dx, or adds to it with `accumulate`. */
export function rmsNormInputGradient(
  dx: Values,
  dy: Values,
  x: Values,
  weight: Values,
  { rows, width, groups, epsilon }: NormShape,
  accumulate: boolean,
): void {
  const length = width / groups;
  for (let start = 0; start < rows * width; start += length) {
    let dot = 0;
    for (let i = 0; i < length; i++) dot += x[start + i] * weight[i] * dy[start + i];
    const inverse = inverseRms(x, start, length, epsilon);
    const shrink = (dot / length) * inverse ** 3;
    for (let i = 0; i < length; i++) {
      const value = weight[i] * dy[start + i] * inverse - x[start + i] * shrink;
      dx[start + i] = accumulate ? dx[start + i] + value : value;
    }
  }
}

/** Adds to dWeight. */
export function rmsNormWeightGradient(
  dWeight: Values,
  dy: Values,
  x: Values,
  { rows, width, groups, epsilon }: NormShape,
): void {
  const length = width / groups;
  const sums = Float64Array.from(dWeight.subarray(0, length));
  for (let start = 0; start < rows * width; start += length) {
    const inverse = inverseRms(x, start, length, epsilon);
    for (let i = 0; i < length; i++) sums[i] += dy[start + i] * x[start + i] * inverse;
  }
  dWeight.set(sums);
}

function inverseRms(x: Values, start: number, length: number, epsilon: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += x[start + i] ** 2;
  return 1 / Math.sqrt(sum / length + epsilon);
}
