/**
 * Decides where the threads must meet. Between two barriers every thread runs ahead on its own; that is
 * safe as long as it only touches what it wrote itself or what nobody writes. Each instruction says which
 * regions it reads and writes and how the work is shared out; a conflict with what happened since the last
 * barrier asks for a new one.
 */

/**
 * How a region is touched: `whole` by every thread (reads; and writes of identical values by all of them), or
 * shared out by a rule. Equal rules give every thread the same part. `taken` is decided while it runs, so
 * that nobody knows whose part is whose. `private` touches a copy of the thread's own.
 */
export type Access =
  | "whole"
  | "private"
  | "taken"
  | `panels/${number}`
  | `heads/${number}`
  | `units/${number}`
  | "tiles";

interface Touched {
  readonly reads: Set<Access>;
  readonly writes: Set<Access>;
}

function sameParts(earlier: Access, access: Access): boolean {
  return earlier === access && access !== "taken";
}

export class HazardTracker {
  readonly #regions = new Map<string, Touched>();

  /** True when reading `region` this way needs a barrier first. */
  readConflicts(region: string, access: Access): boolean {
    if (access === "private") return false;
    // Every thread has finished its own identical write before it reads;
    // other threads' writes must be waited for.
    return [...this.#of(region).writes].some((write) => write !== "whole" && !sameParts(write, access));
  }

  /** True when writing `region` this way needs a barrier first. */
  writeConflicts(region: string, access: Access): boolean {
    if (access === "private") return false;
    const { reads, writes } = this.#of(region);
    // A `whole` write repeated by a slower thread must not undo what came after it.
    return [...reads, ...writes].some((earlier) => earlier === "whole" || !sameParts(earlier, access));
  }

  read(region: string, access: Access): void {
    if (access !== "private") this.#of(region).reads.add(access);
  }

  write(region: string, access: Access): void {
    if (access !== "private") this.#of(region).writes.add(access);
  }

  /** All threads have met. */
  barrier(): void {
    this.#regions.clear();
  }

  #of(region: string): Touched {
    let touched = this.#regions.get(region);
    if (touched === undefined) {
      touched = { reads: new Set(), writes: new Set() };
      this.#regions.set(region, touched);
    }
    return touched;
  }
}
