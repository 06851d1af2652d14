/**
 * Keeps a long computation interruptible: lets the event loop run now and then,
 * and throws once a signal is aborted.
 */

/** Longest time in milliseconds between two turns of the event loop. */
const TURN_MS = 20;

/** One per executor: many short steps in a row must let the event loop run as one long step does. */
export class Pacer {
  #signal: AbortSignal | undefined;
  #lastTurn = performance.now();

  /** Begins a step, which `signal` may abort. */
  watch(signal: AbortSignal | undefined): void {
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
