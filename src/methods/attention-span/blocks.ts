/**
 * Visible positions as blocks of the key/value cache: which blocks are touched, and which positions of each. What is read
 * is whole blocks; what is seen is exact.
 */
import type { Interval } from "../../program/intervals.ts";

/** One block with at least one visible position. */
export interface VisibleBlock {
  readonly block: number;
  /** Bit p: position block * size + p is visible. Unsigned. */
  readonly mask: number;
}

/** Blocks of `size` positions (at most 32), ascending. */
export function visibleBlocks(intervals: readonly Interval[], size: 16 | 32): VisibleBlock[] {
  const masks = new Map<number, number>();
  for (const { start, end } of intervals) {
    for (let first = start; first < end; ) {
      const block = Math.floor(first / size);
      const last = Math.min(end, (block + 1) * size);
      masks.set(block, ((masks.get(block) ?? 0) | bits(first - block * size, last - block * size)) >>> 0);
      first = last;
    }
  }
  return [...masks].sort(([a], [b]) => a - b).map(([block, mask]) => ({ block, mask }));
}

/** Ones at [from, to), 0 <= from < to <= 32. */
function bits(from: number, to: number): number {
  const width = to - from;
  return width === 32 ? 0xffffffff : (((1 << width) - 1) << from) >>> 0;
}
