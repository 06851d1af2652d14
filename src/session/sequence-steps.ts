/**
 * Puts tokens into a sequence: cuts what is new into steps the executor accepts and keeps the sequence's list
 * of stored tokens truthful while steps succeed, fail or are aborted.
 */
import type { Step } from "../executors/executor.ts";
import type { Sequence } from "./sequences.ts";
import type { StepQueue } from "./step-queue.ts";

/** Consecutive tokens of one sequence, for one step. */
export interface StepPiece {
  readonly tokens: readonly number[];
  /** Rows of this step whose logits are wanted. */
  readonly outputs: readonly number[];
  /** Whether they are a prompt's. */
  readonly prompt?: boolean;
  /** What each row attends to, where that is not everything. */
  readonly visible?: Step["visible"];
}

export function sequenceStep(
  { tokens, outputs, prompt = false, visible }: StepPiece,
  firstPosition: number,
  slot: number,
): Step {
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(tokens, (_, row) => firstPosition + row),
    slots: new Int32Array(tokens.length).fill(slot),
    outputs: Int32Array.from(outputs),
    prompt,
    visible,
  };
}

/**
 * Evaluates `prompt` in steps of at most `stepTokens`, skipping the positions the sequence already
 * holds but the last, whose logits [1, V] are handed to `read`. The prompt must have at least one token
 * and fit the context.
 */
export async function prefill<T>(
  queue: StepQueue,
  sequence: Sequence,
  prompt: readonly number[],
  stepTokens: number,
  signal: AbortSignal | undefined,
  read: (logits: Float32Array) => T,
): Promise<T> {
  sequence.tokens.length = Math.min(sequence.tokens.length, prompt.length - 1);
  for (;;) {
    const first = sequence.tokens.length;
    const tokens = prompt.slice(first, first + stepTokens);
    if (first + tokens.length === prompt.length) {
      return extend(queue, sequence, { tokens, outputs: [tokens.length - 1], prompt: true }, signal, read);
    }
    await extend(queue, sequence, { tokens, outputs: [], prompt: true }, signal, () => undefined);
  }
}

/** Appends a piece in one step and hands the logits [outputs, V] of its rows in `outputs` to `read`. */
export async function extend<T>(
  queue: StepQueue,
  sequence: Sequence,
  piece: StepPiece,
  signal: AbortSignal | undefined,
  read: (logits: Float32Array) => T,
): Promise<T> {
  const result = await queue.run(sequenceStep(piece, sequence.tokens.length, sequence.slot), signal, read);
  for (const token of piece.tokens) sequence.tokens.push(token);
  return result;
}
