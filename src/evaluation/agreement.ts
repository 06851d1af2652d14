/**
 * How closely two engines agree on one model: log-probabilities of every token at every position, and
 * greedily decoded ids. Used where another engine is the oracle (bench/peers).
 * Invariant: compared are log-probabilities, not logits,
 * because a constant added to a row of logits changes nothing.
 */
import { findBest, logSumExp } from "../session/logits.ts";

export interface LogProbabilityAgreement {
  readonly positions: number;
  /** Largest |difference| over all positions and tokens. */
  readonly worstDifference: number;
  readonly worstPosition: number;
  readonly worstToken: number;
  readonly meanDifference: number;
  /** Positions at which both find the same token most probable. */
  readonly sameBest: number;
  /**
   * Standard deviation of the expected log-probabilities:
   * agreement on a flat distribution would prove nothing.
   */
  readonly spread: number;
}

/**
 * Compares logits [n, V] with expected ones of the same shape. An infinite value counts as an infinite
 * difference. Throws RangeError when the shapes differ or hold no row, NumericError on NaN.
 */
export function compareLogits(
  logits: Float32Array,
  expected: Float32Array,
  vocabularySize: number,
): LogProbabilityAgreement {
  if (logits.length !== expected.length || logits.length === 0 || logits.length % vocabularySize !== 0) {
    throw new RangeError(
      `agreement: logits of ${logits.length} and ${expected.length} values, expected equal multiples of ${vocabularySize}`,
    );
  }
  const positions = logits.length / vocabularySize;
  let [worst, worstAt, sum, sameBest] = [-1, 0, 0, 0];
  let [total, squares] = [0, 0];
  for (let position = 0; position < positions; position++) {
    const first = position * vocabularySize;
    const ours = logits.subarray(first, first + vocabularySize);
    const theirs = expected.subarray(first, first + vocabularySize);
    const [ourBest, theirBest] = [findBest(ours), findBest(theirs)];
    const ourNormalizer = logSumExp(ours, ours[ourBest]);
    const theirNormalizer = logSumExp(theirs, theirs[theirBest]);
    if (ourBest === theirBest) sameBest++;
    for (let token = 0; token < vocabularySize; token++) {
      const logProbability = theirs[token] - theirNormalizer;
      const distance = Math.abs(ours[token] - ourNormalizer - logProbability);
      const difference = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
      if (difference > worst) [worst, worstAt] = [difference, first + token];
      sum += difference;
      total += logProbability;
      squares += logProbability ** 2;
    }
  }
  const mean = total / logits.length;
  return {
    positions,
    worstDifference: worst,
    worstPosition: Math.floor(worstAt / vocabularySize),
    worstToken: worstAt % vocabularySize,
    meanDifference: sum / logits.length,
    sameBest,
    spread: Math.sqrt(Math.max(0, squares / logits.length - mean ** 2)),
  };
}

export interface GreedyAgreement {
  /** Leading ids that are equal. */
  readonly equalIds: number;
  readonly count: number;
  /**
   * How much more probable (in nats) the expected engine finds its own first different id than ours: near 0
   * for a tie that rounding decided. Undefined when all ids are equal.
   */
  readonly margin: number | undefined;
}

/**
 * Compares greedily decoded ids; `expectedLogits` [n, V] is what the expected engine chose its ids from. The
 * histories differ after the first different id, so nothing behind it is compared.
 */
export function compareGreedy(
  ids: readonly number[],
  expectedIds: readonly number[],
  expectedLogits: Float32Array,
  vocabularySize: number,
): GreedyAgreement {
  if (ids.length !== expectedIds.length || expectedLogits.length !== ids.length * vocabularySize) {
    throw new RangeError(
      `agreement: ${ids.length} ids, ${expectedIds.length} expected ids and ${expectedLogits.length} logits do not fit together`,
    );
  }
  const differing = ids.findIndex((id, i) => id !== expectedIds[i]);
  if (differing < 0) return { equalIds: ids.length, count: ids.length, margin: undefined };
  const row = differing * vocabularySize;
  const margin = expectedLogits[row + expectedIds[differing]] - expectedLogits[row + ids[differing]];
  return { equalIds: differing, count: ids.length, margin };
}
