/**
 * Examples whose answers state attention spans: encoded with control tokens, and each with the mask that its
 * statements imply, by the same tracker that masks inference. One example in ten sees everything, so that a
 * model also knows full attention, which is what mistakes fall back to.
 */
import { FormatError } from "../errors.ts";
import {
  CONTROL_TOKENS,
  findControlTokens,
  splitAtControls,
} from "../methods/attention-span/control-tokens.ts";
import type { AttentionSpanRecipe } from "../methods/attention-span/recipe.ts";
import { type SpanRules, trackSequence } from "../methods/attention-span/span-tracker.ts";
import type { Interval } from "../program/intervals.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Sequence } from "./batches.ts";
import type { CorpusEncoder } from "./corpus-encoder.ts";
import type { Example } from "./example-batches.ts";

/** One in this many examples is trained without a mask. */
const UNMASKED_ONE_IN = 10;

export class SpanExampleEncoder {
  readonly #encoder: CorpusEncoder;
  readonly #rules: SpanRules;
  readonly #controls: ReadonlyMap<string, number>;
  readonly #masked: boolean;
  readonly #recipe: AttentionSpanRecipe;

  /** `masked` false trains the same texts under full attention (control B0). */
  constructor(tokenizer: Tokenizer, encoder: CorpusEncoder, recipe: AttentionSpanRecipe, masked: boolean) {
    const control = findControlTokens(tokenizer);
    const ids = [control.span, control.work, control.end, control.sentence];
    this.#encoder = encoder;
    this.#controls = new Map(CONTROL_TOKENS.map((text, i) => [text, ids[i]]));
    this.#rules = { control, headers: recipe.headers, decode: (tokens) => tokenizer.decode(tokens) };
    this.#masked = masked;
    this.#recipe = recipe;
  }

  /**
   * A sequence of `leading`, instruction, prompt, answer and end token.
   * `index` decides which ones go unmasked.
   */
  encode(example: Example, leading: readonly number[], index: number): Sequence {
    if ((example.instruction ?? "") !== this.#recipe.instruction) {
      throw new FormatError(
        `example ${index + 1}: instruction ${JSON.stringify(example.instruction ?? "")}, expected ${JSON.stringify(this.#recipe.instruction)} as in the others - one model has one instruction`,
      );
    }
    const sink = [...leading, ...this.#pieces(this.#recipe.instruction)];
    const prompt = [...sink, ...this.#pieces(example.prompt)];
    const tokens = Int32Array.from([...prompt, ...this.#pieces(example.answer), this.#encoder.endId]);
    const sequence = { tokens, firstTarget: prompt.length };
    if (!this.#masked || Math.imul(index + 1, 0x9e3779b1) >>> 0 < 2 ** 32 / UNMASKED_ONE_IN) return sequence;
    return { ...sequence, visible: () => this.#visible(tokens, prompt.length, sink.length) };
  }

  /** Rows of a training sequence, which has none for its last token. */
  #visible(
    tokens: Int32Array,
    promptLength: number,
    sinkLength: number,
  ): (readonly Interval[] | undefined)[] {
    return [...trackSequence(this.#rules, tokens.subarray(0, -1), promptLength, sinkLength).visible];
  }

  /** Text with control tokens written out. */
  #pieces(text: string): number[] {
    return splitAtControls(text).flatMap((piece) => {
      const control = this.#controls.get(piece);
      return control === undefined ? this.#encoder.encode(piece) : [control];
    });
  }
}
