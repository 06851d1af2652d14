/**
 * Proof that a 32-bit accumulator cannot wrap: bound_n = sum_j 2^(G - g(j)) * qx * |w[n, j]| <= 2^31 - 1.
 * Source: derived from the closed form of Tender's accumulation; every prefix of the sum is smaller than the bound, so
 * the one test covers all orders and both the shifting and the pre-shifted form.
 */

const ACCUMULATOR_LIMIT = 2 ** 31 - 1;

/** The bound of one output row; exact, as all terms are whole numbers far below 2^53. */
export function accumulatorBound(
  codes: ArrayLike<number>,
  exponents: ArrayLike<number>,
  limit: number,
): number {
  let sum = 0;
  for (let j = 0; j < codes.length; j++) sum += 2 ** exponents[j] * Math.abs(codes[j]);
  return sum * limit;
}

/** For a row of codes, the sum of |w| over the channels of every exponent: bounds for all smaller G follow from it. */
export function magnitudeByGroup(codes: ArrayLike<number>, group: Int32Array, groups: number): Float64Array {
  const sums = new Float64Array(groups);
  for (let j = 0; j < codes.length; j++) sums[group[j] - 1] += Math.abs(codes[j]);
  return sums;
}

/** The most groups, at most sums.length, with which the row's bound holds; 0 when not even one group does. */
export function safeGroups(sums: Float64Array, limit: number): number {
  for (let groups = sums.length; groups > 0; groups--) {
    // Groups beyond the last one join it, with exponent 0.
    const bound = sums.reduce((total, sum, g) => total + sum * 2 ** Math.max(0, groups - 1 - g), 0) * limit;
    if (bound <= ACCUMULATOR_LIMIT) return groups;
  }
  return 0;
}

/** Largest activation code with which a plain product over the row is safe, at most 16 bits. */
export function safeLimit(codes: ArrayLike<number>): number {
  let sum = 0;
  for (let j = 0; j < codes.length; j++) sum += Math.abs(codes[j]);
  return Math.min(32767, Math.floor(ACCUMULATOR_LIMIT / Math.max(1, sum)));
}
