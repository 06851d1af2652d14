/**
 * The decode loop: prompt tokens in, pieces of text out. Each turn samples one token, makes its text, decides
 * whether to end, and runs the next step; everything it needs is passed in.
 * Invariant: every sampled token yields exactly one piece,
 * and the slot goes back to the pool however the loop ends.
 */
import type { Executor } from "../executors/executor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { FinishReason, GenerationRecord, GenerationResult, Piece } from "./generation-record.ts";
import { findBest, logSumExp, rankBest } from "./logits.ts";
import type { GenerationOptions } from "./options.ts";
import { Sampler, type SamplingSettings } from "./sampling.ts";
import { extend, prefill } from "./sequence-steps.ts";
import { type SpanSettings, StatedSpans } from "./stated-spans.ts";
import type { SequencePool } from "./sequences.ts";
import type { StepQueue } from "./step-queue.ts";
import { StopMatcher } from "./stop-strings.ts";

/** What the generations of one model share. */
export interface GenerationEngine {
  readonly executor: Executor;
  readonly tokenizer: Tokenizer;
  readonly queue: StepQueue;
  readonly sequences: SequencePool;
  readonly loadMs: number;
  /** For models that state their attention spans. */
  readonly spans: SpanSettings | undefined;
}

/** One generation's request, checked and complete. */
export interface GenerationRequest {
  readonly prompt: readonly number[];
  /**
   * Whether the text continues the prompt's, or starts anew
   * as an answer does (this decides about a leading space).
   */
  readonly continuesText: boolean;
  readonly maxTokens: number;
  readonly sampling: SamplingSettings;
  readonly options: GenerationOptions;
}

/** Runs one generation; the generator's return value is the result. Throws NumericError, ResourceError. */
export async function* generate(
  engine: GenerationEngine,
  request: GenerationRequest,
  record: GenerationRecord,
): AsyncGenerator<Piece, GenerationResult> {
  const { executor, queue, sequences } = engine;
  const { prompt, options } = request;
  const { signal } = options;
  const sampler = new Sampler(request.sampling, sampledIds(engine));
  sampler.observePrompt(prompt);
  const spans = engine.spans && new StatedSpans(engine.spans, prompt, options.spans !== "ignore");
  record.noteSpans(spans);
  const text = new TextStream(engine.tokenizer, request, options.statements === true ? undefined : spans);
  const finish = (reason: FinishReason) => record.finish(reason, executor, engine.loadMs);
  const read = (logits: Float32Array) => {
    const row = logits.subarray(0, sampledIds(engine));
    const token = describe(row, sampler.sample(row), options.logprobs);
    record.noteSampled();
    return token;
  };

  let sequence: Awaited<ReturnType<SequencePool["acquire"]>> | undefined;
  try {
    sequence = await sequences.acquire(prompt, signal);
    record.notePrefillStart(Math.min(sequence.tokens.length, prompt.length - 1));
    let token = await prefill(queue, sequence, prompt, executor.limits.stepTokens, signal, read);
    for (let count = 1; ; count++) {
      const full = count === request.maxTokens || sequence.tokens.length === executor.limits.contextLength;
      const { released, reason } = text.push(token.tokenId, full);
      const piece = { text: released, ...token };
      record.noteEmitted(piece);
      yield piece;
      if (reason !== undefined) return finish(reason);
      const next = { tokens: [token.tokenId], outputs: [0], visible: spans?.next(token.tokenId) };
      token = await extend(queue, sequence, next, signal, read);
    }
  } catch (error) {
    if (signal?.aborted) return finish("aborted");
    throw error;
  } finally {
    if (sequence !== undefined) {
      sequence.tokens.length = Math.min(sequence.tokens.length, spans?.firstMasked ?? sequence.tokens.length);
      sequences.release(sequence);
    }
  }
}

/** Rows of the output matrix that only pad it to a round size have no token and are never chosen. */
function sampledIds({ executor, tokenizer }: GenerationEngine): number {
  return Math.min(executor.program.vocabularySize, tokenizer.vocabularySize);
}

/** The sampled token with the log-probabilities that were asked for. */
function describe(row: Float32Array, tokenId: number, logprobs: number | undefined): Omit<Piece, "text"> {
  if (logprobs === undefined) return { tokenId };
  const normalizer = logSumExp(row, row[findBest(row)]);
  const logprob = row[tokenId] - normalizer;
  if (logprobs === 0) return { tokenId, logprob };
  const ranked = new Int32Array(Math.min(logprobs, row.length));
  rankBest(row, ranked.length, ranked);
  const topLogprobs = Array.from(ranked, (id) => ({ tokenId: id, logprob: row[id] - normalizer }));
  return { tokenId, logprob, topLogprobs };
}

/** Ids to text, with stop strings and end tokens; statements are left out where `hiding` knows them. */
class TextStream {
  readonly #decoder: ReturnType<Tokenizer["decoder"]>;
  readonly #endIds: ReadonlySet<number>;
  readonly #matcher: StopMatcher;
  readonly #hiding: StatedSpans | undefined;

  constructor(tokenizer: Tokenizer, request: GenerationRequest, hiding: StatedSpans | undefined) {
    this.#decoder = tokenizer.decoder({ special: request.options.statements === true });
    this.#hiding = hiding;
    this.#endIds = tokenizer.endIds;
    this.#matcher = new StopMatcher(request.options.stop ?? []);
    if (request.continuesText) for (const id of request.prompt) this.#decoder.push(id);
  }

  /**
   * Text released by this id, and why the generation ends with it if it does; `last` says no room is left.
   */
  push(id: number, last: boolean): { released: string; reason: FinishReason | undefined } {
    const ends = this.#endIds.has(id);
    const hidden = this.#hiding?.hides(id) === true;
    let released = this.#matcher.push(ends || hidden ? "" : this.#decoder.push(id));
    if (!this.#matcher.stopped && (ends || last)) {
      released += this.#matcher.push(this.#decoder.end());
      if (!this.#matcher.stopped) released += this.#matcher.end();
    }
    if (this.#matcher.stopped) return { released, reason: "stop_string" };
    return { released, reason: ends ? "stop" : last ? "length" : undefined };
  }
}
