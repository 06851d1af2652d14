/**
 * Replays one hook of one layer through a column cache: which columns each token selects, how many of them
 * are hits. DIP's simulator (Federici et al., arXiv 2412.01380): bytes are accounted with the cache as the
 * previous token left it, caches are private to hook and layer and start empty at each sequence.
 * Scores recorded from a run stay what they were:
 * how a different mask would change later activations is not modelled.
 */
import { OptionError } from "../../errors.ts";
import {
  type CachePreference,
  ColumnSelector,
  prefersCached,
} from "../../methods/dynamic-input-pruning/column-selection.ts";
import { ColumnCache } from "../../methods/dynamic-input-pruning/column-cache.ts";
import {
  belady,
  CAUSAL_POLICIES,
  causalPolicy,
  type SelectionTrace,
} from "../../methods/dynamic-input-pruning/eviction.ts";
import { RandomSource } from "../../session/random.ts";
import type { HookTrace } from "./column-trace.ts";

/** The causal policies and Belady's, which knows the future: an upper bound, not a policy anyone can run. */
export const REPLAY_POLICIES = [...CAUSAL_POLICIES, "belady"] as const;
export type ReplayPolicy = (typeof REPLAY_POLICIES)[number];

export interface ReplaySetting {
  /** Columns kept per token, all of them, or those that the run recorded. */
  readonly kept: number | "all" | "recorded";
  readonly policy: ReplayPolicy;
  readonly slots: number;
  readonly preference: CachePreference;
  /** Of the random choice what to keep when more is selected than fits. */
  readonly seed: number;
}

/** Per token. */
export interface ReplayCounts {
  readonly selected: Uint32Array;
  readonly hits: Uint32Array;
}

/** Throws OptionError for combinations that mean nothing. */
export function checkReplay(setting: Omit<ReplaySetting, "slots" | "seed">): void {
  if (!prefersCached(setting.preference)) return;
  if (setting.policy === "belady") {
    throw new OptionError(
      "cache policy: belady needs the selections in advance, expected gamma 1 without cache preferences - use lru or lfu",
    );
  }
  if (typeof setting.kept !== "number") {
    throw new OptionError("gamma: cache preferences need scores and a density, expected gamma 1 here");
  }
}

/**
 * One hook of one sequence, replayed under any number of settings;
 * plain selections are made once per density.
 */
export class HookReplay {
  readonly #trace: HookTrace;
  readonly #columns: number;
  readonly #tokens: number;
  readonly #selector: ColumnSelector;
  readonly #plain = new Map<ReplaySetting["kept"], SelectionTrace>();

  constructor(trace: HookTrace, columns: number, tokens: number) {
    this.#trace = trace;
    this.#columns = columns;
    this.#tokens = tokens;
    this.#selector = new ColumnSelector(columns);
  }

  /** Throws OptionError for settings that checkReplay refuses or the trace cannot serve. */
  run(setting: ReplaySetting): ReplayCounts {
    checkReplay(setting);
    return prefersCached(setting.preference) ? this.#replayPreferring(setting) : this.#replayPlain(setting);
  }

  #replayPlain(setting: ReplaySetting): ReplayCounts {
    const selections = this.#plainSelections(setting.kept);
    const cache = this.#createCache(setting, selections);
    return this.#count(cache, (token) =>
      selections.columnsOf.subarray(selections.starts[token], selections.starts[token + 1]),
    );
  }

  #replayPreferring(setting: ReplaySetting): ReplayCounts {
    const scores = this.#scores();
    const kept = Number(setting.kept);
    const cache = this.#createCache(setting);
    return this.#count(cache, (token) => {
      this.#selector.select(scores(token), kept, cache, setting.preference, token);
      return this.#selector.selected.subarray(0, this.#selector.count);
    });
  }

  #count(cache: ColumnCache, select: (token: number) => Int32Array): ReplayCounts {
    const counts = { selected: new Uint32Array(this.#tokens), hits: new Uint32Array(this.#tokens) };
    for (let token = 0; token < this.#tokens; token++) {
      const selected = select(token);
      cache.update(selected, selected.length);
      counts.selected[token] = selected.length;
      counts.hits[token] = cache.hits;
    }
    return counts;
  }

  #createCache({ policy, slots, seed }: ReplaySetting, selections?: SelectionTrace): ColumnCache {
    const random = () => new RandomSource(seed);
    if (policy === "belady" && selections !== undefined) {
      return new ColumnCache(this.#columns, slots, belady(this.#columns, selections), random);
    }
    // A cache without slots never asks its policy anything.
    const [name, room] = policy === "none" || policy === "belady" ? (["lru", 0] as const) : [policy, slots];
    return new ColumnCache(this.#columns, room, causalPolicy(name, this.#columns), random);
  }

  #plainSelections(kept: ReplaySetting["kept"]): SelectionTrace {
    let selections = this.#plain.get(kept);
    if (selections === undefined) {
      selections = this.#makeSelections(kept);
      this.#plain.set(kept, selections);
    }
    return selections;
  }

  #makeSelections(kept: ReplaySetting["kept"]): SelectionTrace {
    if (kept === "recorded") {
      if (this.#trace.content === "columns") return this.#trace.selections;
      throw new OptionError("trace: holds scores, expected a density to select columns by");
    }
    const count = kept === "all" ? this.#columns : kept;
    const starts = Uint32Array.from({ length: this.#tokens + 1 }, (_, token) => token * count);
    const columnsOf = new Int32Array(this.#tokens * count);
    const scores = kept === "all" ? undefined : this.#scores();
    for (let token = 0; token < this.#tokens; token++) {
      if (scores === undefined) {
        for (let column = 0; column < count; column++) columnsOf[token * count + column] = column;
      } else {
        this.#selector.selectTop(scores(token), count);
        columnsOf.set(this.#selector.selected.subarray(0, count), token * count);
      }
    }
    return { starts, columnsOf };
  }

  /** Scores of a token, [columns]. */
  #scores(): (token: number) => Float32Array {
    const trace = this.#trace;
    if (trace.content !== "scores") {
      throw new OptionError(
        "trace: holds selected columns, expected scores for densities or gammas other than the recorded ones",
      );
    }
    const columns = this.#columns;
    return (token) => trace.scores.subarray(token * columns, (token + 1) * columns);
  }
}
