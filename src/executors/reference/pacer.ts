/**
 * Keeps a long computation interruptible: lets the event loop run now and then, and throws once a signal is aborted.
 */

/** Longest time in milliseconds between two turns of the event loop. */
const TURN_MS = 20;

export class Pacer {
  readonly #signal: AbortSignal | undefined;
  #lastTurn = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** To be awaited between pieces of work; throws the signal's reason when it is aborted. */
  async pause(): Promise<void> {
    if (performance.now() - this.#lastTurn > TURN_MS) {
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
      this.#lastTurn = performance.now();
    }
    this.#signal?.throwIfAborted();
  }
}
