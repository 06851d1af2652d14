/**
 * Live progress of `skim train` on stderr, and the run's log beside the model:
 * one JSON object per update and validation.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { ResourceError } from "../errors.ts";
import type { StepReport } from "../training/trainer.ts";
import { ProgressLine } from "./progress-line.ts";
import type { Terminal } from "./terminal.ts";

/** Weight of the newest step in the shown loss and speed. */
const SMOOTHING = 0.1;

export class TrainProgress {
  readonly #line: ProgressLine;
  readonly #log: string;
  readonly #steps: number;
  #last = performance.now();
  #tokens: number;
  #loss: number | undefined;
  #milliseconds: number | undefined;

  /** Continues `log`, without what it says about updates after `step`. */
  constructor(terminal: Terminal, log: string, steps: number, from: { step: number; tokens: number }) {
    this.#line = new ProgressLine(terminal);
    this.#log = log;
    this.#steps = steps;
    this.#tokens = from.tokens;
    const kept = from.step === 0 ? "" : keepUntil(log, from.step);
    writing(log, () => writeFileSync(log, kept));
  }

  step(report: StepReport): void {
    const now = performance.now();
    const milliseconds = now - this.#last;
    this.#last = now;
    this.#loss = smooth(this.#loss, report.loss);
    this.#milliseconds = smooth(this.#milliseconds, milliseconds);
    const tokensPerSecond = (1000 * (report.tokens - this.#tokens)) / milliseconds;
    this.#tokens = report.tokens;
    this.#append({ ...report, tokensPerSecond: Math.round(tokensPerSecond) });
    const { step, learningRate } = report;
    const left = ((this.#steps - step) * this.#milliseconds) / 1000;
    this.#line.show(
      `step ${step}/${this.#steps}  loss ${this.#loss.toFixed(4)}  lr ${learningRate.toExponential(1)}  ` +
        `${tokensPerSecond.toFixed(0)} tokens/s  ${formatDuration(left)} left`,
    );
  }

  evaluation(step: number, loss: number, isBest: boolean): void {
    this.#last = performance.now(); // validation is no part of the next step's speed
    this.#append({ step, validationLoss: loss, isBest });
    const perplexity = Math.exp(loss).toFixed(2);
    const best = isBest ? ", best so far: saved" : "";
    this.#line.note(`step ${step}  validation loss ${loss.toFixed(4)}, perplexity ${perplexity}${best}`);
  }

  /** Removes the line from a terminal. */
  end(): void {
    this.#line.clear();
  }

  #append(entry: object): void {
    writing(this.#log, () => appendFileSync(this.#log, `${JSON.stringify(entry)}\n`));
  }
}

/** Runs `write`; ResourceError when the log cannot be written. */
function writing(log: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new ResourceError(
      `${log}: cannot be written (${code}) - make room and add --resume; the last checkpoint is kept`,
      { cause },
    );
  }
}

function smooth(average: number | undefined, value: number): number {
  return average === undefined ? value : average + SMOOTHING * (value - average);
}

/**
 * The log's lines up to an update, complete ones only; none where the log was deleted,
 * which no training needs.
 */
function keepUntil(log: string, step: number): string {
  if (!existsSync(log)) return "";
  const lines = readFileSync(log, "utf8").split("\n").slice(0, -1);
  return lines
    .filter((line) => (JSON.parse(line) as { step: number }).step <= step)
    .map((line) => `${line}\n`)
    .join("");
}

function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
