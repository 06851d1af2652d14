/**
 * DIP-CA: the choice of columns with a cache in the loop (Federici et al., arXiv 2412.01380, Eq. 10 and Algorithm 1). Each
 * choice of a program has a cache of its own, which the choice prefers and then updates; what is read for a token is
 * decided by the cache as the token before left it. Quality then depends on cache size, policy and order of tokens. All
 * weights are in memory here: the caches stand for those of a machine that holds less (offload/ has real ones).
 * Invariants: gamma 1 chooses exactly what plain selection chooses; caches start empty at every sequence.
 */
import { OptionError, UnsupportedError } from "../../errors.ts";
import type { SelectColumnsOp } from "../../program/column-ops.ts";
import type { Program } from "../../program/program.ts";
import { ColumnCache, cacheRandom } from "./column-cache.ts";
import { type CachePreference, checkGamma, ColumnSelector, NO_PREFERENCE } from "./column-selection.ts";
import { type CausalPolicy, causalPolicy } from "./eviction.ts";

/** The caches of a run with all weights in memory. */
export interface CacheSettings {
  /** Factor on the scores of columns that are not cached, 0 to 1; 1 prefers none, which is plain DIP. */
  readonly gamma: number;
  readonly policy: CausalPolicy;
  /** Slots of each cache as a share of the columns it caches, 0 to 1. */
  readonly share: number;
}

/** Chosen columns of generated tokens so far, and how many of them were cached when they were chosen. */
export interface CacheCounts {
  readonly chosen: number;
  readonly hits: number;
}

interface Choice {
  readonly selector: ColumnSelector;
  readonly cache: ColumnCache;
  readonly scores: Float32Array;
  readonly count: number;
  lastPosition: number;
  token: number;
}

/** Slots of a cache for an input of that width. */
export function cacheSlots(
  { policy, share }: Pick<CacheSettings, "policy" | "share">,
  width: number,
): number {
  return policy === "none" ? 0 : Math.floor(share * width);
}

/**
 * The choices of a program that get caches. Throws OptionError for settings out of range or a program that chooses nothing,
 * UnsupportedError for choices by threshold, which keep what they keep, and for choices that narrow others.
 */
export function cachedChoices(program: Program, { gamma, share }: CacheSettings): readonly SelectColumnsOp[] {
  checkGamma(gamma);
  if (!(share >= 0 && share <= 1)) {
    throw new OptionError(
      `cache share: out of range, expected a number from 0 to 1, got ${share} - 0 keeps nothing, 1 all`,
    );
  }
  const choices = program.ops.filter((op) => op.kind === "selectColumns");
  if (choices.length === 0) {
    throw new OptionError("gamma: the model has no columns to choose from - give --density as well");
  }
  for (const op of choices) keptColumns(op);
  return choices;
}

/** How many columns a choice keeps; UnsupportedError for thresholds and choices among chosen ones. */
export function keptColumns({ out: { name, rule, among } }: SelectColumnsOp): number {
  if (among !== undefined) {
    throw new UnsupportedError(
      `${name}: chooses among ${among.name}, expected a choice of its own where a cache is preferred - leave out --gamma`,
    );
  }
  if (rule.kind === "topK") return rule.count;
  throw new UnsupportedError(
    `${name}: thresholds keep what they keep, expected a number of columns where a cache is preferred - use densities`,
  );
}

export class CachedColumns {
  readonly #settings: CacheSettings;
  readonly #preference: CachePreference;
  /** By op, in other words by layer and input. */
  readonly #choices = new Map<SelectColumnsOp, Choice>();
  #chosen = 0;
  #hits = 0;

  /** @param settings have passed `cachedChoices` */
  constructor(settings: CacheSettings) {
    this.#settings = settings;
    this.#preference = { ...NO_PREFERENCE, gamma: settings.gamma };
  }

  get counts(): CacheCounts {
    return { chosen: this.#chosen, hits: this.#hits };
  }

  /** Empties all caches: a new sequence begins. */
  reset(): void {
    for (const choice of this.#choices.values()) choice.lastPosition = Number.POSITIVE_INFINITY;
  }

  /**
   * The columns of x [width] that `op` keeps for the token at `position`, ascending; the array is overwritten by the next
   * call for the same op. A position not after the last one begins a new sequence.
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
    selector.select(scores, count, cache, this.#preference, choice.token++);
    cache.update(selector.selected, selector.count);
    this.#chosen += selector.count;
    this.#hits += cache.hits;
    return selector.selected.subarray(0, selector.count);
  }

  #choiceOf(op: SelectColumnsOp): Choice {
    const known = this.#choices.get(op);
    if (known !== undefined) return known;
    const { width } = op.out;
    const { policy } = this.#settings;
    // A cache that keeps nothing has no slots; its policy has nothing to decide.
    const eviction = causalPolicy(policy === "none" ? "lru" : policy, width);
    const choice: Choice = {
      selector: new ColumnSelector(width),
      cache: new ColumnCache(width, cacheSlots(this.#settings, width), eviction, cacheRandom),
      scores: new Float32Array(width),
      count: keptColumns(op),
      lastPosition: -1,
      token: 0,
    };
    this.#choices.set(op, choice);
    return choice;
  }
}
