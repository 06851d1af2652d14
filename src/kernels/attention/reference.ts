/**
 * attention: causal softmax attention with grouped queries (arXiv 2305.13245) over a token's own cache slot, with an
 * optional sliding window and, where rows state what they need, over those positions alone. Scores, softmax and sums in f64. The oracle for all other attention kernels.
 */
import type { Interval } from "../../program/intervals.ts";
import type { CacheArrays } from "../store-key-value/reference.ts";

/** Facts of the op: H query heads over K key/value heads of width d. */
export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  /** Multiplies the scores. */
  readonly scale: number;
  /** Positions visible to a token counting itself; undefined for all. */
  readonly window: number | undefined;
}

/** A row of a step. */
export interface AttentionRow {
  readonly t: number;
  /** First row of its slot in the cache. */
  readonly slotRow: number;
  readonly position: number;
  readonly visible: readonly Interval[] | undefined;
}

/** out [T, H * d], one row, of query [T, H * d]. */
export function attention(
  out: Float32Array,
  query: Float32Array,
  cache: CacheArrays,
  shape: AttentionShape,
  row: AttentionRow,
): void {
  const scores = new Float64Array(cache.contextLength);
  const seen = seenPositions(row, shape);
  for (let head = 0; head < shape.heads; head++) {
    attendHead(out, query, cache, shape, scores, { ...row, head, seen });
  }
}

/** Positions that a row sees, ascending. */
export function seenPositions({ position, visible }: AttentionRow, { window }: AttentionShape): Int32Array {
  const start = window === undefined ? 0 : Math.max(0, position - window + 1);
  return positionsOf(visible ?? [{ start: 0, end: position + 1 }], start);
}

function attendHead(
  out: Float32Array,
  query: Float32Array,
  cache: CacheArrays,
  shape: AttentionShape,
  scores: Float64Array,
  at: { t: number; head: number; slotRow: number; seen: Int32Array },
): void {
  const { headWidth, heads, kvHeads } = shape;
  const queryStart = (at.t * heads + at.head) * headWidth;
  const kvHead = Math.floor(at.head / (heads / kvHeads)); // consecutive query heads share a key/value head
  const rowStart = (position: number) => (at.slotRow + position) * cache.width + kvHead * headWidth;

  let maximum = Number.NEGATIVE_INFINITY;
  for (const position of at.seen) {
    const row = rowStart(position);
    let score = 0;
    for (let i = 0; i < headWidth; i++) {
      score += query[queryStart + i] * cache.keys[row + i];
    }
    scores[position] = score * shape.scale;
    maximum = Math.max(maximum, scores[position]);
  }
  let total = 0;
  for (const position of at.seen) {
    scores[position] = Math.exp(scores[position] - maximum);
    total += scores[position];
  }
  for (let i = 0; i < headWidth; i++) {
    let sum = 0;
    for (const position of at.seen) {
      sum += scores[position] * cache.values[rowStart(position) + i];
    }
    out[queryStart + i] = sum / total;
  }
}

/** Positions of the intervals from `first` on. */
function positionsOf(intervals: readonly Interval[], first: number): Int32Array {
  return Int32Array.from(
    intervals.flatMap(({ start, end }) => {
      const from = Math.max(start, first);
      return Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i);
    }),
  );
}
