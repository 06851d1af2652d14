/**
 * DIP-CA: the choice of columns with a cache in the loop (Federici et al., arXiv 2412.01380, Eq. 10 and Algorithm 1). Each
 * choice of a program has a cache of its own, which the choice prefers and then updates; what is read for a token is
 * decided by the cache as the token before left it. Quality then depends on cache size, policy and order of tokens.
 * Invariants: gamma 1 chooses exactly what plain selection chooses; caches start empty at every sequence.
 */
import { UnsupportedError } from "../errors.ts";
import {
  type CachePreference,
  checkPreference,
  ColumnSelector,
} from "../methods/dynamic-input-pruning/column-selection.ts";
import type { SelectColumnsOp } from "../program/column-ops.ts";
import { ColumnCache, type RandomWords } from "./column-cache.ts";
import { type EvictionPolicy, leastFrequentlyUsed, leastRecentlyUsed } from "./eviction.ts";

export const CACHE_POLICIES = ["lru", "lfu"] as const;
export type CachePolicy = (typeof CACHE_POLICIES)[number];

export interface CachedColumnsOptions {
  readonly preference: CachePreference;
  /** Slots of each cache as a share of the columns it caches, 0 to 1. */
  readonly share: number;
  readonly policy: CachePolicy;
  /** For what stays of a choice larger than its cache. */
  readonly createRandom: () => RandomWords;
}

interface Choice {
  readonly selector: ColumnSelector;
  readonly cache: ColumnCache;
  readonly scores: Float32Array;
  readonly count: number;
  lastPosition: number;
  token: number;
}

export class CachedColumns {
  readonly #options: CachedColumnsOptions;
  /** By op, in other words by layer and input. */
  readonly #choices = new Map<SelectColumnsOp, Choice>();
  #chosen = 0;
  #hits = 0;

  /** Throws OptionError for a preference out of range. */
  constructor(options: CachedColumnsOptions) {
    checkPreference(options.preference);
    this.#options = options;
  }

  /** Chosen columns so far that were cached when they were chosen; undefined before any. */
  get hitRate(): number | undefined {
    return this.#chosen === 0 ? undefined : this.#hits / this.#chosen;
  }

  /**
   * The columns of x [width] that `op` keeps for the token at `position`, ascending; the array is overwritten by the next
   * call for the same op. A position not after the last one begins a new sequence. Throws UnsupportedError for
   * thresholds.
   */
  choose(op: SelectColumnsOp, x: Float32Array, position: number): Int32Array {
    const choice = this.#choiceOf(op);
    const { selector, cache, scores, count } = choice;
    if (position <= choice.lastPosition) {
      cache.reset();
      choice.token = 0;
    }
    choice.lastPosition = position;
    for (let i = 0; i < scores.length; i++) scores[i] = Math.abs(x[i]);
    selector.select(scores, count, cache, this.#options.preference, choice.token++);
    cache.update(selector.selected, selector.count);
    this.#chosen += selector.count;
    this.#hits += cache.hits;
    return selector.selected.subarray(0, selector.count);
  }

  #choiceOf(op: SelectColumnsOp): Choice {
    const known = this.#choices.get(op);
    if (known !== undefined) return known;
    const { width, rule, name } = op.out;
    if (rule.kind !== "topK") {
      throw new UnsupportedError(
        `${name}: thresholds keep what they keep, expected a number of columns where a cache is preferred - use densities`,
      );
    }
    const { share, policy, createRandom } = this.#options;
    const choice: Choice = {
      selector: new ColumnSelector(width),
      cache: new ColumnCache(width, Math.floor(share * width), makePolicy(policy, width), createRandom),
      scores: new Float32Array(width),
      count: rule.count,
      lastPosition: -1,
      token: 0,
    };
    this.#choices.set(op, choice);
    return choice;
  }
}

function makePolicy(policy: CachePolicy, columns: number): EvictionPolicy {
  return policy === "lru" ? leastRecentlyUsed(columns) : leastFrequentlyUsed(columns);
}
