/**
 * The pairs of a BPE training by count: a binary heap whose entries may be out of date. An entry counts only
 * while its count is the pair's present one; whoever changes a count pushes the pair again.
 * Order: higher counts first, then the smaller pair, so that training is reproducible.
 */
export class PairQueue {
  readonly #counts: number[] = [];
  readonly #pairs: number[] = [];

  push(pair: number, count: number): void {
    let hole = this.#counts.length;
    this.#counts.push(count);
    this.#pairs.push(pair);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.#precedes(count, pair, parent)) break;
      this.#set(hole, this.#counts[parent], this.#pairs[parent]);
      hole = parent;
    }
    this.#set(hole, count, pair);
  }

  /** Removes the best entry; undefined when none is left. */
  pop(): { readonly pair: number; readonly count: number } | undefined {
    const count = this.#counts[0];
    const pair = this.#pairs[0];
    const lastCount = this.#counts.pop();
    const lastPair = this.#pairs.pop();
    if (lastCount === undefined || lastPair === undefined) return undefined;
    if (this.#counts.length > 0) this.#sink(lastCount, lastPair);
    return { pair, count };
  }

  #sink(count: number, pair: number): void {
    const size = this.#counts.length;
    let hole = 0;
    for (let child = 1; child < size; child = 2 * hole + 1) {
      const right = child + 1;
      if (right < size && this.#precedes(this.#counts[right], this.#pairs[right], child)) child = right;
      if (this.#precedes(count, pair, child)) break;
      this.#set(hole, this.#counts[child], this.#pairs[child]);
      hole = child;
    }
    this.#set(hole, count, pair);
  }

  #precedes(count: number, pair: number, other: number): boolean {
    return count > this.#counts[other] || (count === this.#counts[other] && pair < this.#pairs[other]);
  }

  #set(at: number, count: number, pair: number): void {
    this.#counts[at] = count;
    this.#pairs[at] = pair;
  }
}
