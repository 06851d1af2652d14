/** Summary of repeated measurements. */

export interface Statistics {
  readonly mean: number;
  /** Sample standard deviation (n - 1), 0 for a single value. */
  readonly stdev: number;
  readonly median: number;
}

/** Summarizes at least one value. */
export function summarize(values: readonly number[]): Statistics {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const sorted = [...values].sort((a, b) => a - b);
  const middle = count >> 1;
  return {
    mean,
    stdev: count > 1 ? Math.sqrt(squares / (count - 1)) : 0,
    median: count % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
  };
}
