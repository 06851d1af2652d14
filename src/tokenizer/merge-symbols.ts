/**
 * The merge loop that byte-pair encoding (Sennrich et al. 2016) and SentencePiece's BPE share: start from
 * small symbols, always merge the best adjacent pair, the leftmost of equals, until no pair may merge.
 * A binary heap over typed arrays makes it O(n log n), so one long word cannot stall an encode.
 * Invariant: symbols never shrink, so a queued pair is current exactly when its total length is unchanged.
 */

/**
 * Priority of merging text[start, middle) with text[middle, end): the lowest merges first, Infinity never.
 * Indices are UTF-16 units.
 */
export type MergePriority = (start: number, middle: number, end: number) => number;

/** Marks a symbol that was merged into its left neighbour. */
const ABSORBED = -1;

/** Candidate pairs ordered by (priority, left position). Capacity is fixed: see `mergeSymbols`. */
class PairHeap {
  private size = 0;
  private readonly priority: Float64Array;
  private readonly left: Int32Array;
  private readonly length: Int32Array;

  constructor(capacity: number) {
    this.priority = new Float64Array(capacity);
    this.left = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }

  push(priority: number, left: number, length: number): void {
    let hole = this.size++;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.precedes(priority, left, parent)) break;
      this.move(parent, hole);
      hole = parent;
    }
    this.set(hole, priority, left, length);
  }

  /** Removes the best pair. */
  pop(): { left: number; length: number } {
    const best = { left: this.left[0], length: this.length[0] };
    const last = --this.size;
    if (last > 0) this.sink(this.priority[last], this.left[last], this.length[last]);
    return best;
  }

  private sink(priority: number, left: number, length: number): void {
    let hole = 0;
    for (let child = 1; child < this.size; child = 2 * hole + 1) {
      const right = child + 1;
      if (right < this.size && this.precedes(this.priority[right], this.left[right], child)) child = right;
      if (this.precedes(priority, left, child)) break;
      this.move(child, hole);
      hole = child;
    }
    this.set(hole, priority, left, length);
  }

  private precedes(priority: number, left: number, other: number): boolean {
    return priority < this.priority[other] || (priority === this.priority[other] && left < this.left[other]);
  }

  private move(from: number, to: number): void {
    this.set(to, this.priority[from], this.left[from], this.length[from]);
  }

  private set(at: number, priority: number, left: number, length: number): void {
    this.priority[at] = priority;
    this.left[at] = left;
    this.length[at] = length;
  }
}

/**
 * Merges adjacent symbols of a text until no pair has a finite priority.
 * @param starts ascending start offsets of the initial symbols; the last symbol ends at `end`
 * @returns the start offsets that remain, ascending
 */
export function mergeSymbols(starts: readonly number[], end: number, priority: MergePriority): number[] {
  const count = starts.length;
  if (count < 2) return [...starts];
  const ends = new Int32Array(count);
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    ends[i] = i + 1 < count ? starts[i + 1] : end;
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  // Every merge queues at most two new pairs, and there are at most count - 1 merges.
  const heap = new PairHeap(3 * count);
  const queue = (left: number): void => {
    const right = next[left];
    const rank = priority(starts[left], starts[right], ends[right]);
    if (rank !== Number.POSITIVE_INFINITY) heap.push(rank, left, ends[right] - starts[left]);
  };
  for (let i = 0; i + 1 < count; i++) queue(i);

  while (!heap.isEmpty) {
    const { left, length } = heap.pop();
    const right = next[left];
    const isCurrent = right !== ABSORBED && right < count && ends[right] - starts[left] === length;
    if (!isCurrent) continue;
    ends[left] = ends[right];
    next[left] = next[right];
    next[right] = ABSORBED;
    if (next[left] < count) {
      previous[next[left]] = left;
      queue(left);
    }
    if (previous[left] >= 0) queue(previous[left]);
  }

  const merged: number[] = [];
  for (let i = 0; i < count; i = next[i]) merged.push(starts[i]);
  return merged;
}
