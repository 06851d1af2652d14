/**
 * selectColumns: which columns of an input a token uses, by magnitude, optionally preferring cached ones. The
 * oracle for all other selections, written as the sort that the rule states.
 * Source: Dynamic Input Pruning (arXiv 2412.01380), Eq. 7-8, and Eq.
 * 10 with Algorithm 1 for the cached preference.
 */
import type { SelectionRule } from "../../program/column-ops.ts";
import type { Values } from "../values.ts";

/** Columns that are resident, and the factor on the scores of all others, 0 to 1. */
export interface CachedPreference {
  readonly gamma: number;
  readonly isResident: (column: number) => boolean;
}

/** The columns of a row that a rule chooses, ascending by index. */
export function selectByRule(x: Values, rule: SelectionRule): Int32Array {
  if (rule.kind === "gate") return selectGates(x, rule.threshold);
  return rule.kind === "topK" ? selectTop(x, rule.count) : selectAbove(x, rule.threshold);
}

/**
 * The `count` columns of largest |x|, ascending by index. Order of choice: re-weighted score descending,
 * score descending, index ascending.
 */
export function selectTop(x: Values, count: number, preference?: CachedPreference): Int32Array {
  const score = (i: number) => Math.abs(x[i]);
  const weighted = (i: number) =>
    preference === undefined || preference.isResident(i) ? score(i) : preference.gamma * score(i);
  const order = Array.from(x, (_, i) => i).sort(
    (a, b) => weighted(b) - weighted(a) || score(b) - score(a) || a - b,
  );
  return Int32Array.from(order.slice(0, count)).sort();
}

/** The `count` columns of largest |x| of those in `among`, which is ascending; ties go to the lower index. */
export function selectTopAmong(x: Values, count: number, among: Int32Array): Int32Array {
  return selectTop(
    Float64Array.from(among, (i) => x[i]),
    Math.min(count, among.length),
  ).map((i) => among[i]);
}

/** The columns with |x| >= threshold, ascending by index; the threshold is compared as f32. */
export function selectAbove(x: Values, threshold: number): Int32Array {
  const limit = Math.fround(threshold);
  return Int32Array.from(x.keys()).filter((i) => Math.abs(x[i]) >= limit);
}

/** Those in `among` with |x| >= threshold. */
export function selectAboveAmong(x: Values, threshold: number, among: Int32Array): Int32Array {
  const limit = Math.fround(threshold);
  return among.filter((i) => Math.abs(x[i]) >= limit);
}

/**
 * The gates that ReLU (threshold 0) or FATReLU lets through, and NaN, ascending by index; compared as f32.
 */
export function selectGates(x: Values, threshold: number): Int32Array {
  const limit = Math.fround(threshold);
  return Int32Array.from(x.keys()).filter((i) => (limit === 0 ? !(x[i] <= 0) : !(x[i] < limit)));
}
