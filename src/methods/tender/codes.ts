/**
 * Integer codes of activations and weights.
 * Source: Tender (arXiv 2406.12930), the quantization of activations per channel group and of weights per output.
 * Invariant: rounding is half to even; codes stay inside [-limit, limit] unless the released code's range is asked for.
 */
import { roundHalfEven } from "../../quantization/half-even.ts";
import type { ChannelGroups } from "./grouping.ts";

/** Groups where none are asked for, by bits of activations. 4-bit codes of five, 7 * 2^4, still fit 8 bits and the kernels for them. */
export const DEFAULT_GROUPS = { 4: 5, 8: 8, 16: 1 } as const;

/** 2^(b-1) - 1 */
export function codeLimit(bits: number): number {
  return 2 ** (bits - 1) - 1;
}

/**
 * Largest code of activations that keep 16 bits, one range per token: two of them add up to 16 bits beside 8-bit weights
 * (kernels/tender-linear/strassen.as.ts), and beside 4-bit ones both halves are signed bytes (linear-t4-split.as.ts).
 */
export function tokenLimit(weightBits: 4 | 8): number {
  return weightBits === 8 ? 16383 : 127 * 256 + 127;
}

/** Largest number of groups whose shifted codes fit 16 bits: limit * 2^(G-1) <= 32767. */
export function maxGroups(bits: number): number {
  return Math.floor(Math.log2(32767 / codeLimit(bits))) + 1;
}

/**
 * Codes [rows, K] of x [rows, K]: clamp(round((x - b) / s_g(j))). `lowest` is -limit, or -limit - 1 to mirror the
 * released code.
 */
export function activationCodes(
  x: Float64Array | Float32Array,
  { group, groups, scale }: ChannelGroups,
  bias: Float64Array | undefined,
  limit: number,
  lowest = -limit,
): Int32Array {
  const columns = group.length;
  return Int32Array.from(x, (value, i) => {
    const j = i % columns;
    const code = roundHalfEven((value - (bias?.[j] ?? 0)) / (scale * 2 ** (groups - group[j])));
    return Math.max(lowest, Math.min(limit, code));
  });
}

/** One row of a weight [K] as codes with its own scale, max|w| / limit in f32; an all-zero row has scale 0. */
export function rowCodes(
  row: Float32Array,
  limit: number,
): { readonly codes: Int8Array; readonly scale: number } {
  let largest = 0;
  for (let k = 0; k < row.length; k++) largest = Math.max(largest, Math.abs(row[k]));
  const scale = Math.fround(largest / limit);
  const codes = new Int8Array(row.length);
  // A subnormal scale can round down so far that the quotient passes the limit.
  for (let k = 0; scale > 0 && k < row.length; k++) {
    codes[k] = Math.max(-limit, Math.min(limit, roundHalfEven(row[k] / scale)));
  }
  return { codes, scale };
}

/** B_n = sum_j b_j * W[n, j], with the unquantized weights of one row. */
export function biasTerm(row: Float32Array, bias: Float64Array | Float32Array): number {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += bias[j] * row[j];
  return sum;
}
