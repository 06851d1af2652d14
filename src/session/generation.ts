/**
 * What `model.generate` returns: pieces to iterate once, and the result for those who want only that. Nothing
 * runs until one of the two is asked for.
 */
import type { GenerationResult, Piece } from "./generation-record.ts";
import { OptionError } from "../errors.ts";

export class Generation implements AsyncIterable<Piece> {
  readonly #start: () => AsyncGenerator<Piece, GenerationResult>;
  readonly #abandoned: () => GenerationResult;
  readonly #outcome: Promise<GenerationResult>;
  #resolve: (result: GenerationResult) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #started = false;

  /**
   * @param start runs the generation
   * @param abandoned makes the result when the consumer leaves early
   */
  constructor(start: () => AsyncGenerator<Piece, GenerationResult>, abandoned: () => GenerationResult) {
    this.#start = start;
    this.#abandoned = abandoned;
    this.#outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // An error also reaches whoever iterates; it must not count as unhandled when nobody asks for the result.
    this.#outcome.catch(() => undefined);
  }

  /** Pieces in order; leaving the loop early ends the generation with reason `aborted`. */
  [Symbol.asyncIterator](): AsyncGenerator<Piece, void> {
    if (this.#started) {
      throw new OptionError(
        "generation: iterated twice, expected once - call generate again for another text",
      );
    }
    this.#started = true;
    return this.#run();
  }

  /** The whole result, running the generation first when nobody has iterated it. */
  async result(): Promise<GenerationResult> {
    if (!this.#started) {
      const pieces = this[Symbol.asyncIterator]();
      while (!(await pieces.next()).done);
    }
    return this.#outcome;
  }

  async *#run(): AsyncGenerator<Piece, void> {
    let finished = false;
    try {
      this.#resolve(yield* this.#start());
      finished = true;
    } catch (error) {
      finished = true;
      this.#reject(error);
      throw error;
    } finally {
      // Otherwise the consumer left its loop early.
      if (!finished) this.#resolve(this.#abandoned());
    }
  }
}
