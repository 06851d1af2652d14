/**
 * Attention spans in a running generation: what the model states becomes the visible positions of the tokens
 * that follow, and its statements are kept out of the text unless they are asked for.
 */
import type { Step } from "../executors/executor.ts";
import { MOST_INTERVALS } from "../kernels/layout.ts";
import { type SpanCounts, type SpanRules, SpanTracker } from "../methods/attention-span/span-tracker.ts";
import { countPositions } from "../program/intervals.ts";

/** What the spans of a generation came to. */
export interface SpanReport extends SpanCounts {
  /** Positions that generated tokens attended to, and what full attention would have. */
  readonly positionsRead: number;
  readonly positionsInAll: number;
}

/** What a model's recipe says about its spans. */
export interface SpanSettings {
  readonly rules: SpanRules;
  /** Tokens that every prompt begins with and that stay visible. */
  readonly sink: readonly number[];
}

/** Positions of `prompt` that stay visible: the sink where it begins with it, otherwise its first token. */
function sinkLength({ sink }: SpanSettings, prompt: readonly number[]): number {
  return sink.every((token, i) => prompt[i] === token) ? sink.length : 1;
}

export class StatedSpans {
  readonly #tracker: SpanTracker;
  readonly #rules: SpanRules;
  readonly #follow: boolean;
  #position: number;
  #firstMasked: number | undefined;
  #inHeader = false;
  #read = 0;
  #inAll = 0;

  /** With `follow` false statements are read, counted and hidden, and everything is attended to. */
  constructor(settings: SpanSettings, prompt: readonly number[], follow = true) {
    const { rules } = settings;
    this.#rules = rules;
    this.#follow = follow;
    this.#tracker = new SpanTracker(rules, prompt, sinkLength(settings, prompt));
    for (const token of prompt) this.#tracker.next(token);
    this.#position = prompt.length;
  }

  /** Takes the next generated token: the visible positions of its row, for the step that evaluates it. */
  next(token: number): NonNullable<Step["visible"]> | undefined {
    const position = this.#position++;
    const visible = this.#tracker.next(token);
    const usable = this.#follow && (visible?.length ?? 0) <= MOST_INTERVALS ? visible : undefined;
    if (usable !== undefined) this.#firstMasked ??= position;
    this.#read += usable === undefined ? position + 1 : countPositions(usable);
    this.#inAll += position + 1;
    return usable && [usable];
  }

  /**
   * Positions from here on hold keys and values that were computed under a mask: another prompt with the same
   * tokens must compute them again. Undefined where there are none.
   */
  get firstMasked(): number | undefined {
    return this.#firstMasked;
  }

  /**
   * Whether a generated token belongs to a statement rather than to the answer;
   * to be asked once per token, in order.
   */
  hides(token: number): boolean {
    const { span, work, end } = this.#rules.control;
    if (token === span) this.#inHeader = true;
    else if (token === work || token === end) this.#inHeader = false;
    else return this.#inHeader;
    return true;
  }

  report(): SpanReport {
    return { ...this.#tracker.counts, positionsRead: this.#read, positionsInAll: this.#inAll };
  }
}
