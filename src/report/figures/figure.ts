/** What a figure of the report is: a drawing, what it says, its numbers, and the rows that they come from. */
import type { RowOrigin } from "../result-rows.ts";

export interface Figure {
  /** As `skim report --figure` names it. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
  /** What is drawn, what may be compared, and what is left out. */
  readonly caption: string;
  readonly rows: readonly RowOrigin[];
  readonly table: { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };
}

/** Words of a row that measured random weights of a shape. */
export const RANDOM_WEIGHTS = "Random weights of the named shapes: speed, no quality.";

/** The names of figures of one kind: the first has the kind's own, the others are counted. */
export function numbered(kind: string, index: number): string {
  return index === 0 ? kind : `${kind}-${index + 1}`;
}

/** A simulated or emulated cache in words: its policy, and the preference for what it holds. */
export function cacheName({ policy, gamma }: { readonly policy: string; readonly gamma: number }): string {
  return `${POLICY_NAMES[policy] ?? policy}${gamma === 1 ? "" : `, gamma ${gamma}`}`;
}

/** Policies whose names say too little. */
const POLICY_NAMES: Readonly<Record<string, string>> = {
  none: "no cache",
  belady: "belady (knows the future)",
};

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Busy cores of other processes from which a heading says so. */
const NOTED_OTHER_CORES = 0.3;

/** What a heading adds where others kept the machine busy meanwhile. */
export function noteLoad({ load }: RowOrigin): string {
  const cores = load?.otherCores ?? 0;
  return cores < NOTED_OTHER_CORES ? "" : ` (others kept ${cores.toFixed(1)} cores busy)`;
}

/** The value of a flag in a row's command, or "" where the command does not have it. */
export function flagOf(row: RowOrigin, flag: string): string {
  return new RegExp(`--${flag} (\\S+)`).exec(row.command ?? "")?.[1] ?? "";
}

/** Values by key, in the order in which keys first occur. */
export function groupBy<Value>(
  values: readonly Value[],
  key: (value: Value) => string,
): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}
