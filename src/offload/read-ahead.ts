/**
 * Reads for the op that comes next, while the engine computes: into that op's transit area, which
 * nobody uses until it asks. Columns that it will need for certain (dense streaming, prompts) are all
 * listed; those that only its input can tell are guessed, as many as the time before sufficed for, and
 * given up when the op asks.
 * Invariant: what was read ahead is used as if it had just been read. It is not cached and changes no choice.
 */
import type { FetchPlan } from "../executors/column-store.ts";
import type { ReadQueue } from "./read-queue.ts";

/** Jobs of guesses are short: the op that asks waits for those that have begun. */
const GUESS_BYTES = 1 << 17;
const FIRST_GUESSES = 32;
const LEAST_GUESSES = 8;

export class ReadAhead {
  readonly #queue: ReadQueue;
  readonly #plan: FetchPlan;
  /** [most columns of an op] those listed, ascending. */
  readonly #columns: Int32Array;
  /** [most columns of an op] 1 for columns of the op being served that lie in its transit area. */
  readonly #arrived: Uint8Array;
  #arrivals = 0;
  #listed = 0;
  #site = -1;
  #certain = false;
  #guesses = FIRST_GUESSES;

  constructor(plan: FetchPlan, queue: ReadQueue) {
    this.#plan = plan;
    this.#queue = queue;
    const most = Math.max(...plan.sites.map(({ stored }) => stored.columns));
    this.#columns = new Int32Array(most);
    this.#arrived = new Uint8Array(most);
  }

  /** How many columns to guess. */
  get guesses(): number {
    return this.#guesses;
  }

  /** Starts reading columns [count] of a site, ascending, to where they lie when all of them pass. */
  start(site: number, columns: Int32Array, certain: boolean): void {
    const { stored, transit } = this.#plan.sites[site];
    this.#forget();
    this.#queue.begin(site, certain ? undefined : GUESS_BYTES);
    this.#listed = 0;
    for (const column of columns) {
      this.#columns[this.#listed++] = column;
      this.#queue.add(column, transit + column * stored.stride);
    }
    if (this.#listed === 0) return;
    this.#site = site;
    this.#certain = certain;
    this.#queue.leave();
  }

  /**
   * Ends what was started, for the benefit of a request about `site`: `has` then knows what lies
   * there. `all`: the request wants every column. Returns the bytes that were read. Throws what went
   * wrong while reading.
   */
  settle(site: number, all: boolean): number {
    this.#forget();
    if (this.#site < 0) return 0;
    const wanted = this.#site === site;
    this.#site = -1;
    const complete = wanted && (this.#certain || all);
    const count = this.#queue.settle(complete);
    if (!this.#certain) {
      const grown = count === this.#listed ? 2 * count : Math.ceil(1.25 * count);
      this.#guesses = Math.max(LEAST_GUESSES, grown);
    }
    if (wanted) {
      for (let i = 0; i < count; i++) this.#arrived[this.#columns[i]] = 1;
      this.#arrivals = count;
    }
    return this.#queue.bytes;
  }

  /** Whether a column of the site that was settled for lies in its transit area. */
  has(column: number): boolean {
    return this.#arrived[column] === 1;
  }

  #forget(): void {
    for (let i = 0; i < this.#arrivals; i++) this.#arrived[this.#columns[i]] = 0;
    this.#arrivals = 0;
  }
}
