/**
 * Questions about one row of logits [V]: the best token, log-probabilities, the k best in order. f64
 * accumulators, no allocation but for what the caller passes in.
 * Invariant: ties go to the lowest token id, whatever the algorithm, so results never depend on it.
 */
import { NumericError } from "../errors.ts";

/** Id of the greatest logit. Throws NumericError on NaN, on +infinity and when every logit is -infinity. */
export function findBest(logits: Float32Array): number {
  let best = 0;
  let greatest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id];
    if (value > greatest) {
      greatest = value;
      best = id;
    } else if (Number.isNaN(value)) {
      throw new NumericError(
        `logits: token ${id} is NaN, expected numbers - the weights are damaged or overflow their format`,
      );
    }
  }
  if (!Number.isFinite(greatest)) {
    throw new NumericError(
      `logits: the greatest is ${greatest}, expected a finite number - the weights are damaged or a logit bias excludes every token`,
    );
  }
  return best;
}

/** ln(sum_i exp(logits[i])) without overflow; `greatest` is the row's maximum. */
export function logSumExp(logits: Float32Array, greatest: number): number {
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - greatest);
  return greatest + Math.log(sum);
}

/** Natural log-probability of `id` under softmax(logits). Throws NumericError as {@link findBest} does. */
export function logProbability(logits: Float32Array, id: number): number {
  return logits[id] - logSumExp(logits, logits[findBest(logits)]);
}

/**
 * Writes the ids of the `k` greatest logits to ranked[0..k), best first. A min-heap of k candidates
 * is kept while the row is scanned once, then emptied from the back: O(V + k log k) for the k << V
 * that sampling asks for.
 */
export function rankBest(logits: Float32Array, k: number, ranked: Int32Array): void {
  for (let id = 0; id < k; id++) ranked[id] = id;
  for (let root = (k >> 1) - 1; root >= 0; root--) siftDown(logits, ranked, root, k);
  for (let id = k; id < logits.length; id++) {
    if (isBelow(logits, ranked[0], id)) {
      ranked[0] = id;
      siftDown(logits, ranked, 0, k);
    }
  }
  for (let size = k - 1; size > 0; size--) {
    const worst = ranked[0];
    ranked[0] = ranked[size];
    ranked[size] = worst;
    siftDown(logits, ranked, 0, size);
  }
}

/** True when token a ranks behind token b. */
function isBelow(logits: Float32Array, a: number, b: number): boolean {
  return logits[a] < logits[b] || (logits[a] === logits[b] && a > b);
}

/** Restores the heap (worst on top) of `size` ids below `root`. */
function siftDown(logits: Float32Array, heap: Int32Array, root: number, size: number): void {
  const moved = heap[root];
  let hole = root;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= size) break;
    if (child + 1 < size && isBelow(logits, heap[child + 1], heap[child])) child++;
    if (!isBelow(logits, heap[child], moved)) break;
    heap[hole] = heap[child];
    hole = child;
  }
  heap[hole] = moved;
}
