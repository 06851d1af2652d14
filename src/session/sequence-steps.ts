/**
 * Puts tokens into a sequence: cuts what is new into steps the executor accepts and keeps the sequence's list of
 * stored tokens truthful while steps succeed, fail or are aborted.
 */
import type { Step } from "../executors/executor.ts";
import type { Sequence } from "./sequences.ts";
import type { StepQueue } from "./step-queue.ts";

/**
 * A step of consecutive tokens of one sequence; `outputs` are rows of this step, `prompt` marks a prompt's tokens, `visible`
 * says what each row attends to where that is not everything.
 */
export function sequenceStep(
  tokens: readonly number[],
  firstPosition: number,
  slot: number,
  outputs: readonly number[],
  prompt = false,
  visible?: Step["visible"],
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
 * Evaluates `prompt` in steps of at most `stepTokens`, skipping the positions the sequence already holds but the
 * last, whose logits [1, V] are handed to `read`. The prompt must have at least one token and fit the context.
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
    const piece = prompt.slice(first, first + stepTokens);
    if (first + piece.length === prompt.length) {
      return extend(queue, sequence, piece, [piece.length - 1], signal, read, true);
    }
    await extend(queue, sequence, piece, [], signal, () => undefined, true);
  }
}

/** Appends `tokens` in one step and hands the logits [outputs, V] of the rows in `outputs` to `read`. */
export async function extend<T>(
  queue: StepQueue,
  sequence: Sequence,
  tokens: readonly number[],
  outputs: readonly number[],
  signal: AbortSignal | undefined,
  read: (logits: Float32Array) => T,
  prompt = false,
  visible?: Step["visible"],
): Promise<T> {
  const step = sequenceStep(tokens, sequence.tokens.length, sequence.slot, outputs, prompt, visible);
  const result = await queue.run(step, signal, read);
  for (const token of tokens) sequence.tokens.push(token);
  return result;
}
