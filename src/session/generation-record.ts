/**
 * What a generation leaves behind: its text, tokens, reason to end, times and bytes read. The decode loop
 * notes events here as they happen; the result is computed once at the end.
 * Invariant: `text` is the concatenation of the emitted pieces, `tokenIds` their ids,
 * whatever ended the generation.
 */
import type { SpanReport, StatedSpans } from "./stated-spans.ts";
import type { Executor } from "../executors/executor.ts";
import type { Phase, ReadBytes } from "../program/accounting.ts";

/**
 * One sampled token, and the text that became final with it (possibly empty, possibly of earlier tokens too).
 */
export interface Piece {
  readonly text: string;
  readonly tokenId: number;
  /** Natural log-probability under the model's own distribution, before bias, penalties and filters. */
  readonly logprob?: number;
  /** The most probable tokens at this place, best first. */
  readonly topLogprobs?: readonly { readonly tokenId: number; readonly logprob: number }[];
}

/**
 * `stop`: the model ended its answer. `length`: maxTokens were generated or the context is full.
 * `stop_string`: a stop string was met. `aborted`: the signal fired or the consumer left; text held back at
 * that moment is dropped.
 */
export type FinishReason = "stop" | "length" | "stop_string" | "aborted";

export interface GenerationTiming {
  /** Loading the model, as measured by loadModel. */
  readonly loadMs: number;
  /** From the start to the first sampled token. */
  readonly prefillMs: number;
  /** From the first sampled token to the last. */
  readonly decodeMs: number;
  /** Prompt tokens evaluated (reused ones do not count) per second. */
  readonly prefillTokensPerSecond: number;
  /** Tokens after the first per second of decodeMs; 0 when there was only one. */
  readonly decodeTokensPerSecond: number;
}

export interface GenerationReads {
  /** Mean bytes read per decoded token, from weights and cached keys and values. */
  readonly bytesPerToken: number;
  readonly byKind: ReadBytes["byKind"];
}

export interface GenerationResult {
  readonly text: string;
  /** All sampled ids, the one that ended the answer included. */
  readonly tokenIds: readonly number[];
  readonly promptTokenIds: readonly number[];
  /** Prompt tokens whose keys and values were reused from an earlier turn. */
  readonly reusedTokens: number;
  readonly finishReason: FinishReason;
  /** Seed of the sampler; the same seed gives the same text again. */
  readonly seed: number;
  readonly timing: GenerationTiming;
  readonly reads: GenerationReads;
  /** For models that state their attention spans: what they stated, and what was read because of it. */
  readonly spans: SpanReport | undefined;
}

export class GenerationRecord {
  readonly #promptTokenIds: readonly number[];
  readonly #seed: number;
  readonly #now: () => number;
  #text = "";
  readonly #tokenIds: number[] = [];
  #reused = 0;
  #startedAt: number;
  #firstAt: number | undefined;
  #lastAt = 0;
  #spans: StatedSpans | undefined;

  constructor(promptTokenIds: readonly number[], seed: number, now: () => number) {
    this.#promptTokenIds = promptTokenIds;
    this.#seed = seed;
    this.#now = now;
    this.#startedAt = now();
  }

  /** The slot is ours and evaluation begins. */
  notePrefillStart(reusedTokens: number): void {
    this.#startedAt = this.#now();
    this.#reused = reusedTokens;
  }

  /** The generation's spans, whose facts are complete when it ends. */
  noteSpans(spans: StatedSpans | undefined): void {
    this.#spans = spans;
  }

  noteSampled(): void {
    this.#lastAt = this.#now();
    this.#firstAt ??= this.#lastAt;
  }

  noteEmitted(piece: Piece): void {
    this.#text += piece.text;
    this.#tokenIds.push(piece.tokenId);
  }

  finish(finishReason: FinishReason, executor: Executor, loadMs: number): GenerationResult {
    const firstAt = this.#firstAt ?? this.#now();
    const prefillMs = firstAt - this.#startedAt;
    const decodeMs = this.#firstAt === undefined ? 0 : this.#lastAt - firstAt;
    const evaluated = this.#firstAt === undefined ? 0 : this.#promptTokenIds.length - this.#reused;
    const decoded = Math.max(0, this.#tokenIds.length - 1);
    const spans = this.#spans?.report();
    const dense = meanReads(executor, this.#promptTokenIds.length + 1, Math.max(1, decoded));
    return {
      text: this.#text,
      tokenIds: this.#tokenIds,
      promptTokenIds: this.#promptTokenIds,
      reusedTokens: this.#reused,
      finishReason,
      seed: this.#seed,
      timing: {
        loadMs,
        prefillMs,
        decodeMs,
        prefillTokensPerSecond: perSecond(evaluated, prefillMs),
        decodeTokensPerSecond: perSecond(decoded, decodeMs),
      },
      reads: spans === undefined ? dense : readsUnderSpans(dense, spans),
      spans,
    };
  }
}

/** Mean of what `count` consecutive tokens read, the first of them seeing `firstAttended` positions. */
export function meanReads(
  executor: Executor,
  firstAttended: number,
  count: number,
  phase: Phase = "generation",
): GenerationReads {
  const sum = { attention: 0, feedForward: 0, head: 0, keyValue: 0, other: 0 };
  let total = 0;
  for (let i = 0; i < count; i++) {
    const reads = executor.readBytes(Math.min(firstAttended + i, executor.limits.contextLength), phase);
    total += reads.total;
    for (const kind of Object.keys(sum) as (keyof typeof sum)[]) sum[kind] += reads.byKind[kind];
  }
  for (const kind of Object.keys(sum) as (keyof typeof sum)[]) sum[kind] /= count;
  return { bytesPerToken: total / count, byKind: sum };
}

/** Keys and values are read in proportion to the positions attended to; everything else as without spans. */
function readsUnderSpans(
  { bytesPerToken, byKind }: GenerationReads,
  { positionsRead, positionsInAll }: SpanReport,
): GenerationReads {
  const keyValue =
    positionsInAll === 0 ? byKind.keyValue : (byKind.keyValue * positionsRead) / positionsInAll;
  return { bytesPerToken: bytesPerToken - byKind.keyValue + keyValue, byKind: { ...byKind, keyValue } };
}

function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? (count * 1000) / milliseconds : 0;
}
