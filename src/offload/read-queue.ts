/**
 * The list of reads that the coordinating reader makes and all readers work off, in memory they share: who
 * takes a ticket does the job of that number. Columns near each other in the file are one job, so that they
 * are one read. A list is either worked off at once (`finish`) or left to the helpers until somebody needs it
 * or something else (`leave`, `settle`).
 * Invariant: between `begin` and the return of `finish` or `settle`
 * nobody but the readers touches what the jobs write.
 */
import { ResourceError } from "../errors.ts";
import { COLUMN_GAP_BYTES, type FetchPlan, type FetchSite } from "../executors/column-store.ts";
import { CONTROL_ABORT } from "../kernels/layout.ts";
import type { BlockingFile } from "../platform/types.ts";

/** Longest read: short enough that an abort is noticed in time, long enough for full speed. */
const MAX_JOB_BYTES = 1 << 20;
/** Most columns of one read. */
const MAX_JOB_COLUMNS = 64;

// Words of the shared state, those that are waited on 64 bytes apart.
const GENERATION = 0;
const TICKETS = 16;
const LEFT = 32;
const FAILED = 48;
const JOBS = 64;
const SITE = 65;
/** Not 0 when an aborted step left a job undone. */
const SKIPPED = 66;
const LIST = 80;

/** Shared state for ops of at most `columns` columns. */
export function createQueueState(columns: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (LIST + 3 * columns + 1));
}

export class ReadQueue {
  readonly #state: Int32Array;
  /** [columns] the column to read, and the address to read it to. */
  readonly #columns: Int32Array;
  readonly #addresses: Uint32Array;
  /** [jobs + 1] first entry of each job. */
  readonly #starts: Int32Array;
  readonly #memory: ArrayBufferLike;
  readonly #abort: Int32Array;
  readonly #plan: FetchPlan;
  readonly #file: BlockingFile;
  #entries = 0;
  #jobs = 0;
  #bytes = 0;
  #longest = MAX_JOB_BYTES;

  constructor(state: SharedArrayBuffer, memory: WebAssembly.Memory, plan: FetchPlan, file: BlockingFile) {
    const columns = (state.byteLength / 4 - LIST - 1) / 3;
    this.#state = new Int32Array(state, 0, LIST);
    this.#columns = new Int32Array(state, 4 * LIST, columns);
    this.#addresses = new Uint32Array(state, 4 * (LIST + columns), columns);
    this.#starts = new Int32Array(state, 4 * (LIST + 2 * columns), columns + 1);
    this.#memory = memory.buffer;
    this.#abort = new Int32Array(memory.buffer, plan.control + CONTROL_ABORT, 1);
    this.#plan = plan;
    this.#file = file;
  }

  /** The coordinator: an empty list for a site; `longest` bytes bound how long a job keeps others waiting. */
  begin(site: number, longest = MAX_JOB_BYTES): void {
    this.#longest = longest;
    this.#state[SITE] = site;
    this.#entries = 0;
    this.#jobs = 0;
    this.#bytes = 0;
  }

  /** Bytes that the list reads from the file, gaps included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The coordinator: columns come in ascending order. */
  add(column: number, address: number): void {
    const { stride } = this.#plan.sites[this.#state[SITE]].stored;
    const i = this.#entries++;
    const first = this.#starts[Math.max(0, this.#jobs - 1)];
    const gap = i === 0 ? 0 : (column - this.#columns[i - 1] - 1) * stride;
    const whole = (column - this.#columns[first] + 1) * stride;
    if (i === 0 || gap > COLUMN_GAP_BYTES || i - first === MAX_JOB_COLUMNS || whole > this.#longest) {
      this.#starts[this.#jobs++] = i;
      this.#bytes += stride;
    } else {
      this.#bytes += gap + stride;
    }
    this.#columns[i] = column;
    this.#addresses[i] = address;
  }

  /**
   * The coordinator: has everything read. False when the step was aborted meanwhile; throws what went wrong.
   */
  finish(): boolean {
    this.#publish();
    this.#complete(() => this.#work());
    this.#file.checkUnchanged();
    return Atomics.load(this.#abort, 0) === 0;
  }

  /**
   * The coordinator: lets the helpers work the list off while it does something else; `settle` must follow.
   */
  leave(): void {
    this.#publish();
  }

  /**
   * The coordinator: waits for the jobs that helpers have begun of a list that was left, and with `complete`
   * for all. Returns how many columns of the list are there: the first ones, none where an aborted step left
   * gaps. `bytes` then counts what was read. Throws what went wrong.
   */
  settle(complete: boolean): number {
    const state = this.#state;
    let undone = 0;
    this.#complete(() => {
      if (complete) this.#work();
      else {
        undone = Math.max(0, Atomics.exchange(state, TICKETS, 0));
        Atomics.sub(state, LEFT, undone);
      }
    });
    const entries = this.#starts[this.#jobs - undone];
    const { stride } = this.#plan.sites[state[SITE]].stored;
    this.#bytes = 0;
    for (let job = 0; job < this.#jobs - undone; job++) {
      const [first, last] = [this.#starts[job], this.#starts[job + 1] - 1];
      this.#bytes += (this.#columns[last] - this.#columns[first] + 1) * stride;
    }
    return state[SKIPPED] === 0 ? entries : 0;
  }

  #publish(): void {
    const state = this.#state;
    this.#starts[this.#jobs] = this.#entries;
    state[JOBS] = this.#jobs;
    state[FAILED] = 0;
    state[SKIPPED] = 0;
    Atomics.store(state, LEFT, this.#jobs);
    // Last: whoever holds a ticket sees the whole list,
    // and a helper that is late for an earlier list gets none.
    Atomics.store(state, TICKETS, this.#jobs);
    Atomics.add(state, GENERATION, 1);
    Atomics.notify(state, GENERATION);
  }

  /** Does `work`, waits for the helpers, and throws what went wrong here or there. */
  #complete(work: () => void): void {
    const state = this.#state;
    let failure: unknown;
    try {
      work();
    } catch (error) {
      failure = error;
    }
    for (let left = Atomics.load(state, LEFT); left !== 0; left = Atomics.load(state, LEFT)) {
      Atomics.wait(state, LEFT, left);
    }
    if (failure !== undefined) throw failure;
    const failed = Atomics.load(state, FAILED);
    if (failed === 0) return;
    // Workers share no errors: reading the piece again says in this one what is wrong.
    this.#run(failed - 1);
    throw new ResourceError("column file: a read failed once and then succeeded - is the disk sound?");
  }

  /** A helper: works off lists for ever. */
  help(): never {
    for (let seen = 0; ; seen++) {
      while (Atomics.load(this.#state, GENERATION) === seen) Atomics.wait(this.#state, GENERATION, seen);
      try {
        this.#work();
      } catch {
        // Noted in FAILED; the coordinator reports it.
      }
    }
  }

  /** Takes jobs until none is left; jobs of an aborted step are only counted. */
  #work(): void {
    const state = this.#state;
    let failure: unknown;
    for (let ticket = Atomics.sub(state, TICKETS, 1); ticket > 0; ticket = Atomics.sub(state, TICKETS, 1)) {
      const job = state[JOBS] - ticket;
      try {
        if (Atomics.load(this.#abort, 0) === 0) this.#run(job);
        else Atomics.store(state, SKIPPED, 1);
      } catch (error) {
        failure ??= error;
        Atomics.store(state, FAILED, job + 1);
      }
      if (Atomics.sub(state, LEFT, 1) === 1) Atomics.notify(state, LEFT);
    }
    if (failure !== undefined) throw failure;
  }

  #run(job: number): void {
    const { stored } = this.#plan.sites[this.#state[SITE]];
    const [first, end] = [this.#starts[job], this.#starts[job + 1]];
    this.#file.read(stored.offset + this.#columns[first] * stored.stride, this.#targets(first, end, stored));
  }

  /**
   * Where the bytes of entries go; neighbours in file and memory are one piece, gaps go where nobody looks.
   */
  #targets(first: number, end: number, { stride }: FetchSite["stored"]): Uint8Array[] {
    const targets: Uint8Array[] = [];
    for (let i = first; i < end; ) {
      const gap = i === first ? 0 : (this.#columns[i] - this.#columns[i - 1] - 1) * stride;
      if (gap > 0) targets.push(new Uint8Array(this.#memory, this.#plan.discard, gap));
      const [column, address] = [this.#columns[i], this.#addresses[i]];
      let count = 1;
      while (i + count < end && this.#follows(i + count, column + count, address + count * stride)) count++;
      targets.push(new Uint8Array(this.#memory, address, count * stride));
      i += count;
    }
    return targets;
  }

  #follows(entry: number, column: number, address: number): boolean {
    return this.#columns[entry] === column && this.#addresses[entry] === address;
  }
}
