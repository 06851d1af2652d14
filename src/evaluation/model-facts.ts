/**
 * What a compression step is judged by: quality on a held-out text, bytes read per generated token, size and
 * speed, all of the folder that the step wrote and by the executor that will run it.
 */
import type { Model } from "../session/model.ts";
import { runBenchmark } from "./benchmark.ts";
import { measurePerplexity, type PerplexityProtocol } from "./perplexity.ts";

/** Tokens generated per repetition of the speed test, and repetitions. */
const SPEED_TOKENS = 64;
const SPEED_REPETITIONS = 5;

export interface QualityText {
  readonly text: string;
  readonly protocol: PerplexityProtocol;
  /** Tokens per window; the model's context bounds it. */
  readonly context: number;
}

export interface ModelFacts {
  /** Null where no text was given to measure on. */
  readonly perplexity: number | null;
  /** Per generated token, averaged over the tokens of the speed test. */
  readonly bytesPerToken: number;
  /** Tensors of the checkpoint as they are stored. */
  readonly tensorBytes: number;
  /** Median of the repetitions. */
  readonly tokensPerSecond: number;
  /** Of the machine's memory bandwidth; null where the executor cannot measure it. */
  readonly rooflineShare: number | null;
}

export interface FactsOptions {
  readonly quality: QualityText | undefined;
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly onProgress: (doneTokens: number, totalTokens: number) => void;
}

/** Measures a loaded model. Errors as those of the perplexity and the benchmark. */
export async function measureModel(model: Model, options: FactsOptions): Promise<ModelFacts> {
  const { quality, now, signal, onProgress } = options;
  const report =
    quality &&
    (await measurePerplexity(model, quality.text, {
      protocol: quality.protocol,
      context: Math.min(quality.context, model.contextLength),
      signal,
      onProgress,
    }));
  const { tests } = await runBenchmark(model, {
    promptTokens: [],
    generatedTokens: [Math.min(SPEED_TOKENS, model.contextLength)],
    depths: [0],
    repetitions: SPEED_REPETITIONS,
    now,
    signal,
  });
  const [{ tokensPerSecond, bytesPerToken, rooflineShare }] = tests;
  return {
    perplexity: report?.perplexity ?? null,
    bytesPerToken,
    tensorBytes: model.file.tensorBytes,
    tokensPerSecond: tokensPerSecond.median,
    rooflineShare,
  };
}
