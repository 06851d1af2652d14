/**
 * Sweeps the memory simulator over DRAM sizes, bandwidths, densities, policies and cache preferences: every
 * combination is one row. Caches are replayed once per combination that can change their path; bandwidths
 * only price what was read.
 */
import { OptionError } from "../../errors.ts";
import {
  type CachePreference,
  checkPreference,
  NO_PREFERENCE,
  prefersCached,
} from "../../methods/dynamic-input-pruning/column-selection.ts";
import {
  type DipCounts,
  type DipDensities,
  keptCounts,
  realisedDensity,
} from "../../methods/dynamic-input-pruning/densities.ts";
import { checkReplay, HookReplay, type ReplayCounts, type ReplayPolicy } from "./cache-replay.ts";
import type { ColumnTrace } from "./column-trace.ts";
import {
  activeBytes,
  HOOKS,
  type Hook,
  type MemoryPlan,
  type MemorySetting,
  planMemory,
} from "./memory-plan.ts";
import { streamSeed } from "./synthetic-trace.ts";
import {
  firstTokenSeconds,
  type HookReads,
  type MemoryLink,
  sequenceThroughput,
  staticSeconds,
} from "./transfer-time.ts";

export interface SweepAxes {
  /** DRAM sizes in bytes. */
  readonly dramBytes: readonly number[];
  readonly links: readonly MemoryLink[];
  /** What DIP keeps; "recorded" replays the selections of the trace. */
  readonly densities: readonly (DipDensities | "recorded")[];
  readonly policies: readonly ReplayPolicy[];
  /** All are combined with `lru` and `lfu`, those with gamma 1 with `belady` and `none`. */
  readonly preferences: readonly CachePreference[];
}

export interface SweepOptions {
  readonly axes: SweepAxes;
  readonly setting: Omit<MemorySetting, "shape" | "dramBytes">;
  readonly seed: number;
  /** Stops between two hooks; rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** One simulated combination. Every speed is transfer-bound and simulated. */
export interface SweepRow {
  readonly method: "dense" | "dip" | "dip-ca" | "recorded";
  /** Null for dense and recorded rows. */
  readonly counts: DipCounts | null;
  /** MLP weights touched / all MLP weights, as the tokens really selected. */
  readonly density: number;
  /** A dense mask settles on a pinned set whatever the policy. */
  readonly policy: ReplayPolicy | "pinned";
  readonly preference: CachePreference;
  readonly dramBytes: number;
  readonly link: MemoryLink;
  readonly slots: Readonly<Record<Hook, number>>;
  /** Of every linear's bytes, the share that its part of DRAM holds, 0 to 1. */
  readonly cacheShare: number;
  /** Hits / selected columns, per hook, cold start included. */
  readonly hitRate: Readonly<Record<Hook, number>>;
  readonly flashBytesPerToken: number;
  readonly dramBytesPerToken: number;
  /** Mean over the sequences. */
  readonly tokensPerSecond: number;
  readonly firstTokenSeconds: number;
  /** Head, attention, keys and values, and the MLP share that is touched. */
  readonly memoryBytes: number;
}

interface Variant extends Pick<SweepRow, "method" | "counts" | "policy" | "preference"> {
  readonly plan: MemoryPlan;
  /** [sequence][layer * 2 + hook] */
  readonly reads: HookReads[][];
}

/** All rows of a sweep over a trace. Throws OptionError for axes that mean nothing. */
export async function sweepMemory(trace: ColumnTrace, options: SweepOptions): Promise<SweepRow[]> {
  const variants = listVariants(trace, options);
  const { shape, sequences } = trace.header;
  const total = sequences.length * shape.layers * HOOKS.length;
  let done = 0;
  for (const [sequence, { tokens }] of sequences.entries()) {
    for (const variant of variants) variant.reads.push([]);
    for (let layer = 0; layer < shape.layers; layer++) {
      for (const hook of HOOKS) {
        await nextTurn(options.signal);
        const record = await trace.readHook(sequence, layer, hook);
        const replay = new HookReplay(record, variants[0].plan.hooks[hook].columns, tokens);
        // The same for every sequence: what one reads must not depend on how many came before it.
        const seed = streamSeed(options.seed, 0, layer, hook);
        for (const variant of variants) {
          variant.reads[sequence].push(readHook(variant, hook, replay, seed));
        }
        options.onProgress?.(++done, total);
      }
    }
  }
  return variants.flatMap((variant) => options.axes.links.map((link) => summarize(variant, link)));
}

function listVariants(trace: ColumnTrace, { axes, setting }: SweepOptions): Variant[] {
  const { shape } = trace.header;
  for (const preference of axes.preferences) checkPreference(preference);
  return axes.dramBytes.flatMap((dramBytes) => {
    const plan = planMemory({ ...setting, shape, dramBytes });
    const dense: Variant = {
      method: "dense",
      counts: null,
      policy: "pinned",
      preference: NO_PREFERENCE,
      plan,
      reads: [],
    };
    const pruned = axes.densities.flatMap((densities) =>
      axes.policies.flatMap((policy) => {
        return preferencesFor(policy, axes.preferences).map((preference): Variant => {
          const counts = densities === "recorded" ? null : keptCounts(densities, shape);
          checkReplay({ kept: counts === null ? "recorded" : counts.input, policy, preference });
          const method = counts === null ? "recorded" : prefersCached(preference) ? "dip-ca" : "dip";
          return { method, counts, policy, preference, plan, reads: [] };
        });
      }),
    );
    return [dense, ...pruned];
  });
}

/** Belady cannot be combined with preferences, and where nothing is cached they change nothing. */
function preferencesFor(
  policy: ReplayPolicy,
  preferences: readonly CachePreference[],
): readonly CachePreference[] {
  if (policy === "lru" || policy === "lfu") return preferences;
  const plain = preferences.filter((preference) => !prefersCached(preference));
  if (plain.length > 0) return plain;
  if (policy === "none") return [NO_PREFERENCE];
  throw new OptionError("cache policy: belady needs gamma 1 - add 1 to the gammas or drop belady");
}

function readHook(variant: Variant, hook: Hook, replay: HookReplay, seed: number): HookReads {
  const { slots, linears, unitBytes } = variant.plan.hooks[hook];
  const counts: ReplayCounts = replay.run({
    kept: variant.counts?.[hook] ?? (variant.method === "dense" ? "all" : "recorded"),
    policy: variant.policy === "pinned" ? "lru" : variant.policy,
    slots,
    preference: variant.preference,
    seed,
  });
  return { linears, unitBytes, ...counts };
}

function summarize(variant: Variant, link: MemoryLink): SweepRow {
  const { plan, reads } = variant;
  const perSequence = reads.map((hooks) => sequenceThroughput(hooks, staticSeconds(plan, link), link));
  const density = touchedDensity(plan, reads);
  const mean = (read: (throughput: (typeof perSequence)[number]) => number) =>
    perSequence.reduce((sum, throughput) => sum + read(throughput), 0) / perSequence.length;
  return {
    method: variant.method,
    counts: variant.counts,
    density,
    policy: variant.policy,
    preference: variant.preference,
    dramBytes: plan.setting.dramBytes,
    link,
    slots:
      variant.policy === "none"
        ? { input: 0, glu: 0 }
        : { input: plan.hooks.input.slots, glu: plan.hooks.glu.slots },
    cacheShare: Math.min(1, plan.linearBudget / (plan.hooks.glu.unitBytes * plan.hooks.glu.columns)),
    hitRate: { input: hitRate(reads, "input"), glu: hitRate(reads, "glu") },
    flashBytesPerToken: mean(({ flashBytesPerToken }) => flashBytesPerToken),
    dramBytesPerToken: mean(({ dramBytesPerToken }) => dramBytesPerToken),
    tokensPerSecond: mean(({ tokensPerSecond }) => tokensPerSecond),
    firstTokenSeconds: firstTokenSeconds(plan, link),
    memoryBytes: activeBytes(plan, density),
  };
}

/** Mean columns selected per token and layer at a hook. */
function meanSelected(reads: readonly HookReads[][], hook: Hook): number {
  const [selected, tokens] = totals(reads, hook);
  return selected / tokens;
}

function hitRate(reads: readonly HookReads[][], hook: Hook): number {
  const [selected, , hits] = totals(reads, hook);
  return selected === 0 ? 0 : hits / selected;
}

function totals(reads: readonly HookReads[][], hook: Hook): [selected: number, tokens: number, hits: number] {
  let [selected, tokens, hits] = [0, 0, 0];
  for (const sequence of reads) {
    for (let i = HOOKS.indexOf(hook); i < sequence.length; i += HOOKS.length) {
      tokens += sequence[i].selected.length;
      for (const count of sequence[i].selected) selected += count;
      for (const count of sequence[i].hits) hits += count;
    }
  }
  return [selected, tokens, hits];
}

function touchedDensity({ setting: { shape } }: MemoryPlan, reads: readonly HookReads[][]): number {
  return realisedDensity({ input: meanSelected(reads, "input"), glu: meanSelected(reads, "glu") }, shape);
}

/** Lets the host's events (Ctrl-C) in between two hooks, which take milliseconds each. */
async function nextTurn(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  signal?.throwIfAborted();
}
