/**
 * What block encoders need to know about the weights of a block before they choose its scale.
 * Source: the first loops of ggml's `quantize_row_*_ref`. Invariant: the first of several equal extremes
 * wins, so that the sign of a scale is the reference's.
 */

/** The value of largest magnitude among `count` from `start`, with its sign. */
export function signedExtreme(values: Float32Array, start: number, count: number): number {
  let extreme = 0;
  for (let i = start; i < start + count; i++) {
    if (Math.abs(values[i]) > Math.abs(extreme)) extreme = values[i];
  }
  return extreme;
}

/** Smallest and largest value among `count` from `start`. */
export function blockRange(
  values: Float32Array,
  start: number,
  count: number,
): { least: number; most: number } {
  let least = values[start];
  let most = values[start];
  for (let i = start + 1; i < start + count; i++) {
    if (values[i] < least) least = values[i];
    if (values[i] > most) most = values[i];
  }
  return { least, most };
}
