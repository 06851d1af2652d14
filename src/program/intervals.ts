/** Sets of positions as ascending intervals that neither touch nor overlap. */

/** Positions start, start + 1, ... end - 1. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** The union of intervals in any order, empty ones left out. */
export function mergeIntervals(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** Number of positions. */
export function countPositions(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { start, end }) => sum + end - start, 0);
}
