// Picks the q4 kernels for the module being built; the other file is not compiled into it.
import * as plain from "./linear-q4-plain.as";
import * as relaxed from "./linear-q4-relaxed.as";

export function linear_q4_i8_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) relaxed.linear_q4_i8_row(weights, first, last, columns, x, out, bias);
  else plain.linear_q4_i8_row(weights, first, last, columns, x, out, bias);
}

export function linear_q4_i8_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) relaxed.linear_q4_i8_tile(weights, first, last, columns, x, tiles, out, outStride, bias);
  else plain.linear_q4_i8_tile(weights, first, last, columns, x, tiles, out, outStride, bias);
}
