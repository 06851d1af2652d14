/**
 * Causal attention of whole sequences to themselves and its gradient (arXiv 1706.03762; the backward pass recomputes
 * probabilities from the log-sum-exp as FlashAttention does, arXiv 2205.14135). In f64. The oracle of the training
 * attention kernels.
 *
 * Shapes: query, out [N, H, d], key, value [N, K, d], logSumExp [N, H]. `bounds` holds the first row of every sequence
 * and, last, N;
 * `visible` restricts rows to positions of their sequence. With p = softmax(scale q k) and D = dO . O: dv = sum p dO, ds = p (dO v - D), dq = scale sum ds k,
 * dk = scale sum ds q.
 */
import type { Interval } from "../../program/intervals.ts";
import type { AttentionFacts } from "../../program/training-ops.ts";
import type { Values } from "../values.ts";

export interface AttentionInputs {
  readonly query: Values;
  readonly key: Values;
  readonly value: Values;
}

/** Where sequences lie and what their rows see beyond the program's own rules. */
export interface SequenceRows {
  readonly bounds: Int32Array;
  readonly visible?: readonly (readonly Interval[] | undefined)[] | undefined;
}

/** Writes out and logSumExp. */
export function sequenceAttention(
  out: Values,
  logSumExp: Values,
  { query, key, value }: AttentionInputs,
  rows: SequenceRows,
  facts: AttentionFacts,
): void {
  const { headWidth: d, heads } = facts;
  for (const { row, head, queryAt, keysAt } of visits(rows, facts)) {
    const scores = keysAt.map((at) => facts.scale * dot(query, queryAt, key, at, d));
    const largest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
    const denominator = largest + Math.log(total);
    logSumExp[row * heads + head] = denominator;
    for (let i = 0; i < d; i++) {
      let sum = 0;
      for (const [j, at] of keysAt.entries()) sum += Math.exp(scores[j] - denominator) * value[at + i];
      out[queryAt + i] = sum;
    }
  }
}

/** Writes all three gradients. */
export function attentionGradient(
  gradients: AttentionInputs,
  dy: Values,
  attended: Values,
  logSumExp: Values,
  { query, key, value }: AttentionInputs,
  rows: SequenceRows,
  facts: AttentionFacts,
): void {
  const { headWidth: d, heads, scale } = facts;
  const count = rows.bounds[rows.bounds.length - 1];
  const dKey = new Float64Array(count * facts.kvHeads * d);
  const dValue = new Float64Array(count * facts.kvHeads * d);
  for (const { row, head, queryAt, keysAt } of visits(rows, facts)) {
    const dQuery = new Float64Array(d);
    const delta = dot(dy, queryAt, attended, queryAt, d);
    for (const at of keysAt) {
      const score = scale * dot(query, queryAt, key, at, d);
      const probability = Math.exp(score - logSumExp[row * heads + head]);
      const dScore = scale * probability * (dot(dy, queryAt, value, at, d) - delta);
      for (let i = 0; i < d; i++) {
        dQuery[i] += dScore * key[at + i];
        dKey[at + i] += dScore * query[queryAt + i];
        dValue[at + i] += probability * dy[queryAt + i];
      }
    }
    gradients.query.set(dQuery, queryAt);
  }
  gradients.key.set(dKey);
  gradients.value.set(dValue);
}

interface Visit {
  readonly row: number;
  readonly head: number;
  /** Index of the head's first element in query. */
  readonly queryAt: number;
  /** The same in key and value for every visible row. */
  readonly keysAt: readonly number[];
}

/** Every query head of every row with the keys it sees. */
function* visits({ bounds, visible }: SequenceRows, facts: AttentionFacts): Generator<Visit> {
  const { heads, kvHeads, headWidth, window } = facts;
  for (let sequence = 0; sequence + 1 < bounds.length; sequence++) {
    for (let row = bounds[sequence]; row < bounds[sequence + 1]; row++) {
      const first = window === undefined ? bounds[sequence] : Math.max(bounds[sequence], row - window + 1);
      const seen = Array.from({ length: row - first + 1 }, (_, i) => first + i).filter((key) =>
        isVisible(visible?.[row], key - bounds[sequence]),
      );
      for (let head = 0; head < heads; head++) {
        const kvHead = Math.floor(head / (heads / kvHeads));
        const keysAt = seen.map((key) => (key * kvHeads + kvHead) * headWidth);
        yield { row, head, queryAt: (row * heads + head) * headWidth, keysAt };
      }
    }
  }
}

function isVisible(intervals: readonly Interval[] | undefined, position: number): boolean {
  return intervals?.some(({ start, end }) => position >= start && position < end) ?? true;
}

function dot(a: Values, aAt: number, b: Values, bAt: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aAt + i] * b[bAt + i];
  return sum;
}
