/**
 * What the coordinating reader does for the engine: chooses columns by magnitude (preferring cached ones
 * where gamma asks for it), keeps each site's cache, has the missing columns read, and publishes the
 * chosen columns with their addresses. Dynamic Input Pruning (arXiv 2412.01380), Algorithm 1; cache
 * rules in column-cache.ts.
 * Invariant: an answer other than a complete one chooses nothing, and leaves the site's cache empty.
 */
import { NumericError } from "../errors.ts";
import type { FetchCounts, FetchPlan, FetchSite } from "../executors/column-store.ts";
import { FETCH_ALL, FETCH_INPUT, FETCH_SITE, FETCH_WHAT } from "../kernels/layout.ts";
import {
  type CachePreference,
  ColumnSelector,
  NO_PREFERENCE,
} from "../methods/dynamic-input-pruning/column-selection.ts";
import { ColumnCache, cacheRandom } from "../methods/dynamic-input-pruning/column-cache.ts";
import { type CausalPolicy, causalPolicy } from "../methods/dynamic-input-pruning/eviction.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { ReadQueue } from "./read-queue.ts";

interface SiteState {
  readonly site: FetchSite;
  readonly cache: ColumnCache;
  readonly selector: ColumnSelector;
  readonly scores: Float32Array;
  /** 1 for chosen columns that were in memory before the choice. */
  readonly wasResident: Uint8Array;
}

/** Counts as numbers of a shared array, in this order. */
export const COUNT_NAMES = [
  "tokens",
  "chosen",
  "hits",
  "generationBytes",
  "promptBytes",
  "generationMs",
  "aheadBytes",
  "aheadUsedBytes",
] as const satisfies readonly Exclude<keyof FetchCounts, "direct">[];

export class ColumnServer {
  readonly #memory: ArrayBufferLike;
  readonly #block: DataView;
  readonly #states: readonly SiteState[];
  readonly #bytes: Uint8Array;
  readonly #queue: ReadQueue;
  readonly #ahead: ReadAhead;
  /** 0, 1, 2 ... up to the widest input. */
  readonly #everyColumn: Int32Array;
  /** The last request, where it succeeded. */
  #served: { readonly index: number; readonly all: boolean } | undefined;
  readonly #preference: CachePreference;
  readonly #counts: Float64Array;

  /** @param counts [COUNT_NAMES.length], raised as requests are served */
  constructor(
    memory: WebAssembly.Memory,
    plan: FetchPlan,
    queue: ReadQueue,
    policy: CausalPolicy,
    gamma: number,
    counts: Float64Array,
  ) {
    this.#memory = memory.buffer;
    this.#block = new DataView(memory.buffer, plan.block);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#queue = queue;
    this.#ahead = new ReadAhead(plan, queue);
    const most = Math.max(...plan.sites.map(({ stored }) => stored.columns));
    this.#everyColumn = Int32Array.from({ length: most }, (_, column) => column);
    this.#preference = { ...NO_PREFERENCE, gamma };
    this.#counts = counts;
    const selectors = new Map<number, Pick<SiteState, "selector" | "scores" | "wasResident">>();
    this.#states = plan.sites.map((site) => {
      const { columns } = site.stored;
      const shared = selectors.get(columns) ?? {
        selector: new ColumnSelector(columns),
        scores: new Float32Array(columns),
        wasResident: new Uint8Array(columns),
      };
      selectors.set(columns, shared);
      // A cache that keeps nothing has no slots; its policy has nothing to decide.
      const eviction = causalPolicy(policy === "none" ? "lru" : policy, columns);
      return { site, cache: new ColumnCache(columns, site.slots, eviction, cacheRandom), ...shared };
    });
  }

  /** Empties all caches. */
  reset(): void {
    for (const { cache } of this.#states) cache.reset();
  }

  /** Serves the request in the block. Throws NumericError, ResourceError. */
  serve(): void {
    const startedAt = performance.now();
    const index = this.#block.getInt32(FETCH_SITE, true);
    const state = this.#states[index];
    const all = this.#block.getInt32(FETCH_WHAT, true) === FETCH_ALL;
    let complete = false;
    this.#served = undefined;
    let bytes = 0;
    try {
      bytes = this.#ahead.settle(index, all);
      this.#count("aheadBytes", bytes);
      this.#queue.begin(index);
      if (all) this.#askForAll(state.site);
      else this.#askForChosen(state);
      complete = this.#queue.finish();
    } finally {
      // Missing columns have slots by now that hold something else.
      if (!complete) this.#withdraw(state);
    }
    this.#served = { index, all };
    this.#count(all ? "promptBytes" : "generationBytes", this.#queue.bytes + bytes);
    if (all) return;
    if (index === 0) this.#count("tokens", 1);
    this.#count("generationMs", performance.now() - startedAt);
  }

  /**
   * Starts reading for the op after the one that was served, whose product the engine computes now. That op's
   * transit area is free: it held columns of the same op a layer before, and the engine was done with them
   * when it asked again.
   */
  readAhead(): void {
    if (this.#served === undefined) return;
    const { index, all } = this.#served;
    const wraps = index + 1 === this.#states.length;
    const next = wraps ? 0 : index + 1;
    const { site, cache, selector, scores } = this.#states[next];
    const { rule, stored, transit } = site;
    if (transit === this.#states[index].site.transit) return;
    const every = this.#everyColumn.subarray(0, stored.columns);
    if (all) {
      // After the last op of a step nobody knows whether more of the prompt follows.
      if (!wraps) this.#ahead.start(next, every, true);
      return;
    }
    if (rule.kind !== "topK") return;
    const missing = (column: number) => cache.slotOf[column] < 0;
    if (rule.count === stored.columns) {
      this.#ahead.start(next, every.filter(missing), true);
    } else if (!wraps && site.followsResidual) {
      // The residual stream changes little between layers: what is large now will be large there.
      const guesses = scores.map((score, column) => (missing(column) ? score : 0));
      selector.selectTop(guesses, Math.min(this.#ahead.guesses, rule.count));
      this.#ahead.start(next, selector.selected.subarray(0, selector.count).filter(missing), false);
    }
  }

  #askForAll({ stored, transit }: FetchSite): void {
    for (let column = 0; column < stored.columns; column++) {
      if (this.#ahead.has(column)) this.#count("aheadUsedBytes", stored.stride);
      else this.#queue.add(column, transit + column * stored.stride);
    }
  }

  #askForChosen({ site, cache, selector, scores, wasResident }: SiteState): void {
    const { stored, slotsAddress, transit, rule } = site;
    this.#score(scores, stored.weights[0]);
    if (rule.kind === "topK") selector.select(scores, rule.count, cache, this.#preference, 0);
    else selector.selectAbove(scores, Math.fround(rule.threshold));
    const { count, selected } = selector;
    for (let i = 0; i < count; i++) wasResident[i] = cache.slotOf[selected[i]] >= 0 ? 1 : 0;
    cache.update(selected, count);
    const places = new Uint32Array(this.#memory, site.places, count);
    for (let i = 0; i < count; i++) {
      const column = selected[i];
      const slot = cache.slotOf[column];
      const passing = transit + column * stored.stride;
      places[i] = slot >= 0 ? slotsAddress + slot * stored.stride : passing;
      if (wasResident[i] === 1) continue;
      if (!this.#ahead.has(column)) this.#queue.add(column, places[i]);
      else {
        this.#count("aheadUsedBytes", stored.stride);
        if (slot >= 0) this.#bytes.copyWithin(places[i], passing, passing + stored.stride);
      }
    }
    const target = new Int32Array(this.#memory, site.selection, 4 + count);
    target[0] = count;
    target.set(selected.subarray(0, count), 4);
    this.#count("chosen", count);
    this.#count("hits", cache.hits);
  }

  #count(name: (typeof COUNT_NAMES)[number], amount: number): void {
    this.#counts[COUNT_NAMES.indexOf(name)] += amount;
  }

  #score(scores: Float32Array, name: string): void {
    const x = new Float32Array(this.#memory, this.#block.getUint32(FETCH_INPUT, true), scores.length);
    for (let i = 0; i < scores.length; i++) {
      scores[i] = Math.abs(x[i]);
      if (!(scores[i] < Number.POSITIVE_INFINITY)) {
        throw new NumericError(`${name}: its input is not finite - the weights are damaged or overflow`);
      }
    }
  }

  #withdraw({ site, cache }: SiteState): void {
    cache.reset();
    new Int32Array(this.#memory, site.selection, 1)[0] = 0;
  }
}
