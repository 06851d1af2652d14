/**
 * What attention needs to make its two products of integers: tables fixed by calibration,
 * one row chunk for all positions.
 * Source: Tender, ISCA 2024 (arXiv 2406.12930), "all": queries in channel groups per head with a bias, keys
 * less a bias with one scale per position and head, softmax scores as unsigned codes in groups, values with
 * one scale per channel.
 * Invariant: neither product can pass 2^31 - 1 (`checkAttentionCodes`).
 */
import type { AttentionOp, Weight } from "./program.ts";
import { expectEqual, type Fail } from "./shape-checks.ts";

export interface AttentionCodes {
  /**
   * Largest magnitude of query, key and value codes before the shift: 127 or 7; scores reach 2 * limit + 1.
   */
  readonly limit: number;
  /** Largest exponent of a query channel. */
  readonly maxExponent: number;
  /** Groups of scores: powers of two below the row's largest. */
  readonly scoreGroups: number;
  /** [H * d], of queries times the op's scale. */
  readonly queryBias: Weight;
  /** [H * d], whole numbers up to maxExponent. */
  readonly queryExponents: Weight;
  /** [H]: what one unit of a query code stands for. */
  readonly queryScales: Weight;
  /** [K * d] */
  readonly keyBias: Weight;
  /** [K * d] */
  readonly valueScales: Weight;
}

/** Positions whose scores are added up in 32 bits before the sum goes on in floats. */
export const SCORE_BLOCK = 512;

export function attentionWeights({ codes }: AttentionOp): readonly Weight[] {
  if (codes === undefined) return [];
  return [codes.queryBias, codes.queryExponents, codes.queryScales, codes.keyBias, codes.valueScales];
}

/** `, codes to 127 in 8 groups` */
export function describeAttentionCodes({ codes }: AttentionOp): string {
  return codes === undefined ? "" : `, codes to ${codes.limit} in ${codes.maxExponent + 1} groups`;
}

/** Reports the first relation that does not hold. */
export function checkAttentionCodes({ codes, heads, cache }: AttentionOp, fail: Fail): void {
  if (codes === undefined) return;
  const { limit, maxExponent, scoreGroups } = codes;
  const [queries, keys] = [heads * cache.headWidth, cache.kvHeads * cache.headWidth];
  expectEqual("query bias", codes.queryBias.columns, queries, fail);
  expectEqual("query exponents", codes.queryExponents.columns, queries, fail);
  expectEqual("query scales", codes.queryScales.columns, heads, fail);
  expectEqual("key bias", codes.keyBias.columns, keys, fail);
  expectEqual("value scales", codes.valueScales.columns, keys, fail);
  const largest = cache.headWidth * limit * 2 ** maxExponent * limit;
  if (largest > 2 ** 31 - 1) fail(`products of queries and keys reach ${largest}, more than 32 bits hold`);
  const scores = (2 * limit + 1) * 2 ** (scoreGroups - 1) * limit * SCORE_BLOCK;
  if (scores > 2 ** 31 - 1) fail(`products of scores and values reach ${scores}, more than 32 bits hold`);
}
