/**
 * Negative log-likelihood of a window of tokens: the one measurement behind all perplexity protocols. A
 * window is evaluated from an empty sequence through the same steps that generation uses.
 */
import type { Sequence } from "../session/sequences.ts";
import { extend } from "../session/sequence-steps.ts";
import type { StepQueue } from "../session/step-queue.ts";
import { logProbability } from "../session/logits.ts";

/** Rows whose logits are wanted at once: 128 rows of a 128k vocabulary are 64 MiB. */
export const MAX_OUTPUT_ROWS = 128;

/** Sum of -ln p in nats, and how many tokens it covers. */
export interface WindowScore {
  readonly nll: number;
  readonly count: number;
}

/**
 * Scores tokens[firstTarget..] of a window, each given all tokens of the window before it. firstTarget is at
 * least 1, as the first token has nothing before it. The window must fit the context.
 */
export async function scoreWindow(
  sequence: Sequence,
  queue: StepQueue,
  stepTokens: number,
  tokens: readonly number[],
  firstTarget: number,
  signal: AbortSignal | undefined,
): Promise<WindowScore> {
  sequence.tokens.length = 0;
  return scoreTokens(sequence, queue, stepTokens, tokens, firstTarget, signal);
}

/**
 * Scores tokens[firstTarget..], firstTarget at least 1,
 * behind what the sequence holds already and the tokens before.
 */
export async function scoreTokens(
  sequence: Sequence,
  queue: StepQueue,
  stepTokens: number,
  tokens: readonly number[],
  firstTarget: number,
  signal: AbortSignal | undefined,
): Promise<WindowScore> {
  const pieceLength = Math.min(stepTokens, MAX_OUTPUT_ROWS);
  let nll = 0;
  let count = 0;
  // The last token is only a target; what it predicts is not asked for.
  for (let first = 0; first < tokens.length - 1; first += pieceLength) {
    const piece = tokens.slice(first, Math.min(first + pieceLength, tokens.length - 1));
    const skipped = Math.min(piece.length, Math.max(0, firstTarget - 1 - first));
    const outputs = Array.from({ length: piece.length - skipped }, (_, row) => skipped + row);
    await extend(queue, sequence, { tokens: piece, outputs }, signal, (logits) => {
      const width = outputs.length === 0 ? 0 : logits.length / outputs.length;
      outputs.forEach((row, index) => {
        const target = tokens[first + row + 1];
        nll -= logProbability(logits.subarray(index * width, (index + 1) * width), target);
        count++;
      });
    });
  }
  return { nll, count };
}
