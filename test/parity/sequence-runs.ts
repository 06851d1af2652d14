/**
 * Ways to run the same tokens through an executor: in pieces of any size, and several sequences mixed into one step.
 */
import type { Executor, Step } from "../../src/executors/executor.ts";
import { sequenceStep } from "../../src/session/sequence-steps.ts";

/** Logits [n, V] of all positions of a text in `slot`, run in steps of the given lengths, repeated to its end. */
export async function runInPieces(
  executor: Executor,
  tokens: readonly number[],
  slot: number,
  lengths: readonly number[],
): Promise<Float32Array> {
  const width = executor.program.vocabularySize;
  const logits = new Float32Array(tokens.length * width);
  for (let first = 0, piece = 0; first < tokens.length; piece++) {
    const part = tokens.slice(first, first + lengths[piece % lengths.length]);
    const rows = part.map((token, i) => ({ token, position: first + i, slot }));
    logits.set(await executor.step(stepOf(rows)), first * width);
    first += part.length;
  }
  return logits;
}

/**
 * Logits [n, V] of each of several texts that take turns within every step: text i lies in slot i, its next token
 * follows one of the text before it, and shorter texts end earlier.
 */
export async function runInterleaved(
  executor: Executor,
  texts: readonly (readonly number[])[],
  rowsPerStep: number,
): Promise<Float32Array[]> {
  const width = executor.program.vocabularySize;
  const logits = texts.map((tokens) => new Float32Array(tokens.length * width));
  const longest = Math.max(...texts.map((tokens) => tokens.length));
  const rows = Array.from({ length: longest }, (_, position) =>
    texts.flatMap((tokens, slot) =>
      position < tokens.length ? [{ token: tokens[position], position, slot }] : [],
    ),
  ).flat();
  for (let first = 0; first < rows.length; first += rowsPerStep) {
    const part = rows.slice(first, first + rowsPerStep);
    const result = await executor.step(stepOf(part));
    part.forEach(({ slot, position }, row) => {
      logits[slot].set(result.subarray(row * width, (row + 1) * width), position * width);
    });
  }
  return logits;
}

/** A step of tokens from position `first` on that wants the logits of the last one. */
export function lastRowStep(tokens: readonly number[], first: number, prompt = false): Step {
  return sequenceStep({ tokens, outputs: [tokens.length - 1], prompt }, first, 0);
}

/** Logits after a prompt, which may be empty, and after each of the tokens generated behind it. */
export async function runBehindPrompt(
  executor: Executor,
  prompt: readonly number[],
  generated: readonly number[],
): Promise<Float32Array[]> {
  const logits: Float32Array[] = [];
  if (prompt.length > 0) logits.push((await executor.step(lastRowStep(prompt, 0, true))).slice());
  for (const [i, token] of generated.entries()) {
    logits.push((await executor.step(lastRowStep([token], prompt.length + i))).slice());
  }
  return logits;
}

/** Largest difference between logits of the same steps. */
export function worstDifference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Math.max(...a.flatMap((row, r) => Array.from(row, (value, i) => Math.abs(value - b[r][i]))));
}

/** Index of the first value whose bits differ, -1 when none does; arrays of different lengths differ at the shorter's end. */
export function firstDifference(a: Float32Array, b: Float32Array): number {
  const [bitsOfA, bitsOfB] = [a, b].map(
    (array) => new Int32Array(array.buffer, array.byteOffset, array.length),
  );
  const index = bitsOfA.findIndex((bits, i) => bits !== bitsOfB[i]);
  return index < 0 && a.length !== b.length ? a.length : index;
}

/** Index of the largest logit of every row [n, V]. */
export function greedyTokens(logits: Float32Array, width: number): number[] {
  return Array.from({ length: logits.length / width }, (_, row) => {
    const values = logits.subarray(row * width, (row + 1) * width);
    return values.indexOf(values.reduce((best, value) => Math.max(best, value)));
  });
}

/** A step that wants the logits of all its rows. */
export function stepOf(rows: readonly { token: number; position: number; slot: number }[]): Step {
  return {
    tokens: Int32Array.from(rows, ({ token }) => token),
    positions: Int32Array.from(rows, ({ position }) => position),
    slots: Int32Array.from(rows, ({ slot }) => slot),
    outputs: Int32Array.from(rows, (_, row) => row),
  };
}
