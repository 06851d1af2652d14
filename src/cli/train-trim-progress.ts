/** Live progress of `skim train trim` on stderr, and one line per size that stays. */
import type { TrimState } from "../methods/trimllm/trim-state.ts";
import type { TrimSettings } from "../methods/trimllm/trim-world.ts";
import type { StepReport } from "../training/trainer.ts";
import { formatLeft } from "./progress.ts";
import { ProgressLine } from "./progress-line.ts";
import type { Terminal } from "./terminal.ts";

/** Weight of the newest step in the shown loss. */
const SMOOTHING = 0.1;

export class TrimProgress {
  readonly #line: ProgressLine;
  readonly #settings: TrimSettings;
  readonly #startedAt = performance.now();
  readonly #firstRound: number;
  #loss: number | undefined;

  /** `rounds`: sizes that an earlier run has begun. */
  constructor(terminal: Terminal, settings: TrimSettings, rounds: number) {
    this.#line = new ProgressLine(terminal);
    this.#settings = settings;
    this.#firstRound = Math.max(0, rounds - 1);
  }

  step(round: number, { step, loss, learningRate }: StepReport): void {
    this.#loss = this.#loss === undefined ? loss : this.#loss + SMOOTHING * (loss - this.#loss);
    const { steps } = this.#settings.trainer;
    this.#line.show(
      `size ${round}  step ${step}/${steps}  loss ${this.#loss.toFixed(4)}  lr ${learningRate.toExponential(1)}${this.#remaining(step)}`,
    );
  }

  work(what: string, done: number, total: number): void {
    this.#line.show(`${what} ${done} of ${total}`);
  }

  round({ rounds }: TrimState): void {
    const { dropped, tied, result } = rounds[rounds.length - 1];
    if (result === undefined) return;
    const { validation, size } = result;
    const without = dropped.length === 0 ? "whole" : `without ${dropped.join(", ")}`;
    const ties = tied > 1 ? `, ${tied} tied` : "";
    const accuracy =
      validation.chance === 1
        ? ""
        : `accuracy ${(100 * validation.accuracy).toFixed(2)} % (chance ${(100 * validation.chance).toFixed(1)} %), `;
    this.#line.note(
      `size ${rounds.length - 1}  ${without}${ties}: ${accuracy}perplexity ${Math.exp(validation.meanNll).toFixed(3)}, ` +
        `${(size.tensorBytes / 1e6).toFixed(2)} MB, ${size.keyValueBytes} KV bytes per position`,
    );
  }

  /** Removes the line from a terminal. */
  end(): void {
    this.#line.clear();
  }

  /** Time until all sizes are tuned, by the pace so far, scans included. */
  #remaining(step: number): string {
    const done = step - this.#firstRound * this.#settings.stepsPerRound;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    if (done <= 0 || seconds < 3) return "";
    return `  ${formatLeft((seconds / done) * (this.#settings.trainer.steps - step))}`;
  }
}
