/**
 * Which weight columns of one linear group are in fast memory: a fixed number of slots, updated once per token with
 * the columns the token selects. The run-time cache and the memory simulator share it. Rules of DIP's simulator
 * (Federici et al., arXiv 2412.01380): the current selection stays, only unselected residents are evicted, and no
 * more of them than the selection needs room.
 * Invariants: slotOf and columnIn are inverse to each other; an update allocates nothing; a selection that exceeds the
 * slots leaves a full cache, so the all-ones selection settles on a fixed pinned set.
 */
import { OptionError } from "../../errors.ts";
import { uniformGenerator } from "../../models/synthetic/random.ts";
import { nthSmallest } from "./nth-element.ts";
import type { EvictionPolicy } from "./eviction.ts";

/** Random 32-bit words for choosing what to keep of a selection larger than the cache. */
export interface RandomWords {
  nextUint32(): number;
}

const WORD_RANGE = 2 ** 32;
/** What stays of a choice larger than its cache is drawn; every run draws the same. */
const CACHE_SEED = 1;

/** The random words of a sequence, from its start; kernels/select-columns/choose-cached.as.ts draws the same. */
export function cacheRandom(): RandomWords {
  const uniform = uniformGenerator(CACHE_SEED);
  return { nextUint32: () => uniform() * WORD_RANGE };
}

export class ColumnCache {
  readonly columns: number;
  readonly slots: number;
  /** [columns] the slot a column sits in, -1 when it is not resident. */
  readonly slotOf: Int32Array;
  /** [slots] the column in a slot, -1 when the slot is free. */
  readonly columnIn: Int32Array;
  residents = 0;

  /** Of the last update: selected columns that were resident before it. */
  hits = 0;
  /** Of the last update: `loaded[0 .. loadedCount)` are the missing columns that got a slot (see slotOf). */
  readonly loaded: Int32Array;
  loadedCount = 0;
  /** Of the last update: `streamed[0 .. streamedCount)` are the missing columns that found no slot. */
  readonly streamed: Int32Array;
  streamedCount = 0;

  readonly #policy: EvictionPolicy;
  readonly #createRandom: () => RandomWords;
  #random: RandomWords;
  /** Tokens since the sequence began. */
  #token = 0;
  /** [columns] the last token that selected a column, plus 1. */
  readonly #selectedAt: Int32Array;
  readonly #ranks: Float64Array;
  readonly #freeSlots: Int32Array;

  /**
   * @param columns width of the input whose columns are cached
   * @param slots how many columns fit; 0 caches nothing
   * @param createRandom called at every start of a sequence, so that a sequence never depends on the one before it
   */
  constructor(columns: number, slots: number, policy: EvictionPolicy, createRandom: () => RandomWords) {
    if (!Number.isInteger(slots) || slots < 0) {
      throw new OptionError(`column cache: slots, expected a whole number of at least 0, got ${slots}`);
    }
    this.columns = columns;
    this.slots = Math.min(slots, columns);
    this.slotOf = new Int32Array(columns).fill(-1);
    this.columnIn = new Int32Array(this.slots).fill(-1);
    this.loaded = new Int32Array(this.slots);
    this.streamed = new Int32Array(columns);
    this.#policy = policy;
    this.#createRandom = createRandom;
    this.#random = createRandom();
    this.#selectedAt = new Int32Array(columns);
    this.#ranks = new Float64Array(this.slots);
    this.#freeSlots = new Int32Array(this.slots);
  }

  /** Empties the cache: a new sequence begins. */
  reset(): void {
    this.slotOf.fill(-1);
    this.columnIn.fill(-1);
    this.#selectedAt.fill(0);
    this.residents = 0;
    this.hits = 0;
    this.loadedCount = 0;
    this.streamedCount = 0;
    this.#token = 0;
    this.#random = this.#createRandom();
    this.#policy.reset();
  }

  /**
   * One token's selection: `selected[0 .. count)`, distinct columns in any order. Afterwards `hits`, `loaded` and
   * `streamed` say what had to be read: missing columns = loadedCount + streamedCount = count - hits.
   */
  update(selected: Int32Array, count: number): void {
    this.#policy.use(selected, count, this.#token);
    this.#token++;
    this.hits = 0;
    this.streamedCount = 0;
    for (let i = 0; i < count; i++) {
      const column = selected[i];
      this.#selectedAt[column] = this.#token;
      if (this.slotOf[column] >= 0) this.hits++;
      else this.streamed[this.streamedCount++] = column;
    }
    const unselected = this.residents - this.hits;
    this.#evict(Math.min(Math.max(count + unselected - this.slots, 0), unselected), unselected);
    this.#load();
  }

  /** Evicts the `count` unselected residents of least worth. */
  #evict(count: number, unselected: number): void {
    if (count === 0) return;
    const { worth } = this.#policy;
    const { columns, columnIn, slotOf } = this;
    let candidates = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      const column = columnIn[slot];
      if (column >= 0 && this.#selectedAt[column] !== this.#token) {
        this.#ranks[candidates++] = worth[column] * columns + column;
      }
    }
    // Ranks are distinct, so exactly `count` of them are at or below the threshold.
    const threshold =
      count === unselected ? Number.POSITIVE_INFINITY : nthSmallest(this.#ranks, candidates, count - 1);
    for (let slot = 0; slot < this.slots; slot++) {
      const column = columnIn[slot];
      if (column < 0 || this.#selectedAt[column] === this.#token) continue;
      if (worth[column] * columns + column <= threshold) {
        slotOf[column] = -1;
        columnIn[slot] = -1;
        this.residents--;
      }
    }
  }

  /** Gives free slots to missing columns, which `streamed` holds; a random subset when there are too few slots. */
  #load(): void {
    const missing = this.streamedCount;
    const room = Math.min(missing, this.slots - this.residents);
    let free = 0;
    for (let slot = 0; free < room; slot++) {
      if (this.columnIn[slot] < 0) this.#freeSlots[free++] = slot;
    }
    for (let i = 0; i < room; i++) {
      // When all fit nothing is drawn; otherwise one swap towards the back per slot picks without replacement.
      const last = missing - 1 - i;
      const drawn = room === missing ? last : this.#draw(last + 1);
      const column = this.streamed[drawn];
      this.streamed[drawn] = this.streamed[last];
      const slot = this.#freeSlots[i];
      this.slotOf[column] = slot;
      this.columnIn[slot] = column;
      this.loaded[i] = column;
    }
    this.loadedCount = room;
    this.residents += room;
    this.streamedCount = missing - room;
  }

  /** Uniform in 0 .. bound - 1. */
  #draw(bound: number): number {
    return Math.floor((this.#random.nextUint32() / WORD_RANGE) * bound);
  }
}
