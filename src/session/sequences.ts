/**
 * Which tokens' keys and values lie in which slot of the executor. A generation borrows the free
 * slot that shares the longest beginning with its prompt, so that a conversation's next turn
 * evaluates only what is new.
 * Invariant: `tokens` lists exactly the positions whose keys and values are valid; it shrinks before a step
 * that might fail and grows after it succeeded.
 */

/** One slot of the executor and what it holds. */
export interface Sequence {
  readonly slot: number;
  /** Token at each position whose keys and values are stored. */
  tokens: number[];
}

export class SequencePool {
  readonly #free: Sequence[];
  readonly #waiting: ((sequence: Sequence) => void)[] = [];

  constructor(slots: number) {
    this.#free = Array.from({ length: slots }, (_, slot) => ({ slot, tokens: [] }));
  }

  /**
   * Borrows a slot for `prompt`, waiting in order of arrival while none is free. Its `tokens` are cut to what
   * agrees with the prompt. Rejects with the signal's reason when aborted while waiting.
   */
  async acquire(prompt: readonly number[], signal: AbortSignal | undefined): Promise<Sequence> {
    signal?.throwIfAborted();
    const sequence = this.#free.length > 0 ? this.#takeBest(prompt) : await this.#wait(signal);
    sequence.tokens.length = commonPrefix(sequence.tokens, prompt);
    return sequence;
  }

  release(sequence: Sequence): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(sequence);
    else next(sequence);
  }

  #takeBest(prompt: readonly number[]): Sequence {
    let best = 0;
    let longest = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const shared = commonPrefix(this.#free[i].tokens, prompt);
      // Among equals the slot that loses least is taken, which leaves longer prefixes to others.
      const loses = this.#free[i].tokens.length < this.#free[best].tokens.length;
      if (shared > longest || (shared === longest && loses)) {
        best = i;
        longest = shared;
      }
    }
    return this.#free.splice(best, 1)[0];
  }

  #wait(signal: AbortSignal | undefined): Promise<Sequence> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(grant), 1);
        reject(signal?.reason);
      };
      const grant = (sequence: Sequence) => {
        signal?.removeEventListener("abort", giveUp);
        resolve(sequence);
      };
      this.#waiting.push(grant);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }
}

/** Length of the longest common beginning. */
function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}
