/**
 * What the activation formats of the quantized linear kernels keep of a row, value by value; the
 * reference beside activations.as.ts. All arithmetic is rounded to f32 where the kernels' is, so that
 * both choose the same integers.
 */
import { roundHalfEven } from "../../quantization/half-even.ts";
import { BLOCK_COLUMNS } from "../layout.ts";

/** What i16 activations keep: multiples of the row's largest magnitude / 32767. */
export function roundToI16(row: Float32Array): Float32Array {
  return roundToScale(row, 32767);
}

/** What i8 activations keep: per block of 32 columns multiples of the block's largest magnitude / 127. */
export function roundToI8Blocks(row: Float32Array): Float32Array {
  const rounded = new Float32Array(row.length);
  for (let start = 0; start < row.length; start += BLOCK_COLUMNS) {
    rounded.set(roundToScale(row.subarray(start, start + BLOCK_COLUMNS), 127), start);
  }
  return rounded;
}

/** Integers up to `limit`, ties to even, times the largest magnitude / limit. */
export function roundToScale(values: Float32Array, limit: number): Float32Array {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest === 0) return new Float32Array(values.length);
  const scale = Math.fround(largest / limit);
  const inverse = Math.fround(limit / largest);
  return values.map((value) => roundHalfEven(Math.fround(value * inverse)) * scale);
}
