/**
 * The accumulation of Tender in its three equal forms, for one token row and one output, and the column-sparse rules.
 * Source: Tender (arXiv 2406.12930): A_(g+1) = (A_g << 1) + P_(g+1); the closed form sum_j 2^(G-g(j)) x_j w_j is derived.
 * The engine runs the pre-shifted form; the others exist to prove that it is the paper's.
 */
import type { ChannelGroups } from "./grouping.ts";
import { channelOrder } from "./grouping.ts";

/** The paper's form: groups in order, one left shift between them, all in 32 bits. Returns A_1..A_G. */
export function accumulateShifting(
  codes: Int32Array,
  weights: ArrayLike<number>,
  channels: ChannelGroups,
): number[] {
  const order = channelOrder(channels);
  const steps: number[] = [];
  let accumulator = 0;
  let next = 0;
  for (let g = 1; g <= channels.groups; g++) {
    if (g > 1) accumulator <<= 1;
    for (; next < order.length && channels.group[order[next]] === g; next++) {
      accumulator = (accumulator + Math.imul(codes[order[next]], weights[order[next]])) | 0;
    }
    steps.push(accumulator);
  }
  return steps;
}

/** Codes with their exponent applied: x'_j = code * 2^(G - g(j)). */
export function shiftCodes(codes: Int32Array, { groups, group }: ChannelGroups): Int32Array {
  return codes.map((code, j) => code << (groups - group[j]));
}

/** The engine's form: natural channel order, no shift in the loop. */
export function accumulatePreShifted(shifted: Int32Array, weights: ArrayLike<number>): number {
  let accumulator = 0;
  for (let j = 0; j < shifted.length; j++) {
    accumulator = (accumulator + Math.imul(shifted[j], weights[j])) | 0;
  }
  return accumulator;
}

/** Per-group 32-bit sums, weighted in f64. */
export function accumulatePerGroup(
  codes: Int32Array,
  weights: ArrayLike<number>,
  { groups, group }: ChannelGroups,
): number {
  const sums = new Int32Array(groups);
  for (let j = 0; j < codes.length; j++) sums[group[j] - 1] += codes[j] * weights[j];
  return sums.reduce((total, sum, g) => total + sum * 2 ** (groups - 1 - g), 0);
}

/**
 * Drops channels from a product. "raw" treats them as x_j = 0, which also takes them out of B; "centred" drops the codes
 * only, which puts the channel bias in their place.
 */
export function dropChannels(
  codes: Int32Array,
  bias: Float64Array,
  dropped: ReadonlySet<number>,
  rule: "raw" | "centred",
): { readonly codes: Int32Array; readonly bias: Float64Array } {
  return {
    codes: codes.map((code, j) => (dropped.has(j) ? 0 : code)),
    bias: rule === "raw" ? bias.map((b, j) => (dropped.has(j) ? 0 : b)) : bias,
  };
}
