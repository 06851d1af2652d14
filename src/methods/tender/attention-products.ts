/**
 * The attention products of Tender ("all" in the paper's tables): softmax scores as unsigned codes grouped over source
 * positions, and Q K^T with biases subtracted from both operands.
 * Source: Tender (arXiv 2406.12930) and its released code for the details of the two products.
 */
import { roundHalfEven } from "../../quantization/half-even.ts";
import { type ChannelGroups, groupChannels } from "./grouping.ts";

/** Groups over the columns of non-negative scores [rows, columns]; codes 0..2^bits - 1. */
export function groupScores(
  scores: Float64Array,
  columns: number,
  groups: number,
  bits: number,
): { readonly channels: ChannelGroups; readonly codes: Int32Array } {
  const limit = 2 ** bits - 1;
  const magnitudes = new Float64Array(columns);
  scores.forEach((value, i) => {
    magnitudes[i % columns] = Math.max(magnitudes[i % columns], value);
  });
  const channels = groupChannels(magnitudes, groups, limit);
  const codes = Int32Array.from(scores, (value, i) => {
    const scale = channels.scale * 2 ** (groups - channels.group[i % columns]);
    return Math.max(0, Math.min(limit, roundHalfEven(value / scale)));
  });
  return { channels, codes };
}

/**
 * What the biases add back to (Q - bq)(K - bk)^T: bq K^T + Q bk^T - bq bk^T for queries [m, d] and keys [n, d],
 * result [m, n]. The operands are the unquantized ones.
 */
export function queryKeyCorrection(
  queries: Float64Array,
  keys: Float64Array,
  queryBias: Float64Array,
  keyBias: Float64Array,
): Float64Array {
  const width = queryBias.length;
  const [m, n] = [queries.length / width, keys.length / width];
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const row = (matrix: Float64Array, i: number) => matrix.subarray(i * width, (i + 1) * width);
  const both = dot(queryBias, keyBias);
  const correction = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      correction[i * n + j] = dot(queryBias, row(keys, j)) + dot(row(queries, i), keyBias) - both;
    }
  }
  return correction;
}
