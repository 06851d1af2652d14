/**
 * Lets several generations share one executor. An executor runs one step at a time and its logits are a view
 * that the next step overwrites, so each caller reads them inside its turn.
 * Invariant: no step starts before the reader of the one before it has returned.
 */
import type { Executor, Step } from "../executors/executor.ts";

export class StepQueue {
  readonly #executor: Executor;
  #last: Promise<void> = Promise.resolve();

  constructor(executor: Executor) {
    this.#executor = executor;
  }

  /**
   * Runs one step when its turn comes and hands its logits [outputs, V] to `read`, whose result it returns.
   * Rejects with the signal's reason when aborted before or during the step.
   */
  run<T>(step: Step, signal: AbortSignal | undefined, read: (logits: Float32Array) => T): Promise<T> {
    const turn = this.#last.then(async () => {
      signal?.throwIfAborted();
      return read(await this.#executor.step(step, signal));
    });
    this.#last = turn.then(ignore, ignore);
    return turn;
  }
}

/**
 * The caller of the failed turn gets its error; those behind it in the queue only need to know it is over.
 */
function ignore(): void {}
