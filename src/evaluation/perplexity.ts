/**
 * Perplexity of a text, exp(mean negative log-likelihood per token), by four protocols whose numbers must
 * never be compared with one another. Sources:
 * - `llama.cpp`: tools/perplexity. Text without one final newline (as `-f` reads it) is tokenized once with
 *   special tokens, cut into floor(N / n) windows of n tokens, the first token of each replaced by BOS where
 *   the model adds one; only the predictions made at positions n/2 .. n-2 count.
 * - `hf`: "Perplexity of fixed-length models" of the transformers documentation. Windows of n tokens advance
 *   by a stride of n/2 and score what earlier windows did not; each window's mean weighs its new tokens minus
 *   one, as the documentation's code has it.
 * - `gptq`: evaluation of the GPTQ repository (llama.py). floor(N / n) disjoint windows,
 *   n - 1 predictions each.
 * - `document`: the whole text in one window from BOS; the text must fit the context.
 * Control tokens written out in a text (a literal `<unk>`, say) are ordinary text to `llama.cpp` and
 * `document`, and tokens to `hf` and `gptq`, whose tokenizers parse them.
 */
import { ContextOverflowError, OptionError } from "../errors.ts";
import { sha256 } from "../platform/digest.ts";
import { selectsColumns } from "../program/dataflow.ts";
import type { Model } from "../session/model.ts";
import { scoreWindow, type WindowScore } from "./window-score.ts";

export const PERPLEXITY_PROTOCOLS = ["llama.cpp", "hf", "gptq", "document"] as const;
export type PerplexityProtocol = (typeof PERPLEXITY_PROTOCOLS)[number];

/** Window length where none is given: the tools' own defaults; the others use the model's context. */
export const DEFAULT_WINDOWS: Readonly<Partial<Record<PerplexityProtocol, number>>> = {
  "llama.cpp": 512,
  gptq: 2048,
};

export interface PerplexityOptions {
  readonly protocol: PerplexityProtocol;
  /** Window length n in tokens; `document` ignores it. */
  readonly context: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (doneTokens: number, totalTokens: number) => void;
}

export interface PerplexityReport {
  readonly perplexity: number;
  /** Nats per token. */
  readonly meanNll: number;
  readonly tokensScored: number;
  readonly protocol: PerplexityProtocol;
  /** Window length in tokens. */
  readonly context: number;
  /** SHA-256 of the text as UTF-8, in hexadecimal. */
  readonly textSha256: string;
}

/**
 * One window: tokens, the first scored one, and what its mean counts for (undefined: one per scored token).
 */
interface Window {
  readonly tokens: readonly number[];
  readonly firstTarget: number;
  readonly weight: number | undefined;
}

/**
 * Measures perplexity. Throws OptionError when the text is too short for the protocol or the window longer
 * than the model's context, ContextOverflowError when a `document` does not fit.
 */
export async function measurePerplexity(
  model: Model,
  text: string,
  options: PerplexityOptions,
): Promise<PerplexityReport> {
  const { protocol } = options;
  const windows = cutWindows(model, text, options);
  const total = windows.reduce((sum, window) => sum + window.tokens.length, 0);
  let done = 0;
  let nll = 0;
  let tokensScored = 0;
  await model.withSequence(async (sequence, queue) => {
    // Methods that skip columns do so for single tokens: their quality is that of the whole text generated.
    const stepTokens = selectsColumns(model.program) ? 1 : model.executor.limits.stepTokens;
    for (const { tokens, firstTarget, weight } of windows) {
      const score = await scoreWindow(sequence, queue, stepTokens, tokens, firstTarget, options.signal);
      nll += weigh(score, weight);
      tokensScored += weight ?? score.count;
      done += tokens.length;
      options.onProgress?.(done, total);
    }
  }, options.signal);
  const meanNll = nll / tokensScored;
  return {
    perplexity: Math.exp(meanNll),
    meanNll,
    tokensScored,
    protocol,
    context: protocol === "document" ? windows[0].tokens.length : options.context,
    textSha256: await sha256(text),
  };
}

function weigh(score: WindowScore, weight: number | undefined): number {
  return weight === undefined ? score.nll : (score.nll / score.count) * weight;
}

function cutWindows(model: Model, text: string, { protocol, context }: PerplexityOptions): Window[] {
  if (protocol !== "document") checkWindow(model, context);
  switch (protocol) {
    case "llama.cpp":
      return cutLlamaCpp(model, text, context);
    case "hf":
      return cutSliding(model.tokenize(text), context, Math.floor(context / 2));
    case "gptq":
      return cutDisjoint(model.tokenize(text), context);
    case "document":
      return [cutDocument(model, text)];
  }
}

function cutLlamaCpp(model: Model, text: string, context: number): Window[] {
  const tokens = model.tokenize(text.endsWith("\n") ? text.slice(0, -1) : text, { parseSpecial: false });
  checkLength(tokens, 2 * context, "two windows");
  const { bosId } = model.tokenizer;
  const addsBos = bosId !== undefined && model.tokenize("")[0] === bosId;
  return disjoint(tokens, context).map((window) => ({
    tokens: addsBos ? [bosId, ...window.slice(1)] : window,
    firstTarget: Math.floor(context / 2) + 1,
    weight: undefined,
  }));
}

/** Exported for its tests: windows of `context` tokens advancing by `stride`. */
export function cutSliding(tokens: readonly number[], context: number, stride: number): Window[] {
  checkLength(tokens, 2, "one prediction");
  const windows: Window[] = [];
  let scoredTo = 0;
  for (let begin = 0; scoredTo < tokens.length; begin += stride) {
    const end = Math.min(begin + context, tokens.length);
    const fresh = end - scoredTo;
    // A single fresh token weighs nothing in the documentation's code.
    if (fresh > 1) {
      const firstTarget = Math.max(1, scoredTo - begin);
      windows.push({ tokens: tokens.slice(begin, end), firstTarget, weight: fresh - 1 });
    }
    scoredTo = end;
  }
  return windows;
}

function cutDisjoint(tokens: readonly number[], context: number): Window[] {
  checkLength(tokens, context, "one window");
  return disjoint(tokens, context).map((window) => ({ tokens: window, firstTarget: 1, weight: undefined }));
}

function cutDocument(model: Model, text: string): Window {
  const { bosId } = model.tokenizer;
  const encoded = model.tokenize(text, { parseSpecial: false });
  const tokens = bosId === undefined || encoded[0] === bosId ? encoded : [bosId, ...encoded];
  checkLength(tokens, 2, "one prediction");
  if (tokens.length > model.contextLength) {
    throw new ContextOverflowError(
      tokens.length,
      model.contextLength,
      "load the model with a longer context (--context) or use a protocol with windows",
    );
  }
  return { tokens, firstTarget: 1, weight: undefined };
}

function disjoint(tokens: readonly number[], length: number): number[][] {
  const count = Math.floor(tokens.length / length);
  return Array.from({ length: count }, (_, index) => tokens.slice(index * length, (index + 1) * length));
}

function checkWindow(model: Model, context: number): void {
  if (!Number.isInteger(context) || context < 2 || context > model.contextLength) {
    throw new OptionError(
      `perplexity: window of ${context} tokens, expected 2 to ${model.contextLength} - choose another --context`,
    );
  }
}

function checkLength(tokens: readonly number[], least: number, reason: string): void {
  if (tokens.length < least) {
    throw new OptionError(
      `perplexity: text has ${tokens.length} tokens, expected at least ${least} (${reason}) - use a longer text or a smaller --context`,
    );
  }
}
