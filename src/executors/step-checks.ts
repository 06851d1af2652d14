/**
 * Border checks that every executor makes before it runs anything: a step fits the limits and the vocabulary.
 * After them kernels may index without looking.
 */
import { OptionError } from "../errors.ts";
import { MOST_INTERVALS } from "../kernels/layout.ts";
import { cachedChoices } from "../methods/dynamic-input-pruning/cached-columns.ts";
import type { Program } from "../program/program.ts";
import type { ExecutorLimits, ExecutorOptions, Step } from "./executor.ts";

/** Throws OptionError naming the first limit that is not a whole number above 0. */
export function checkLimits(limits: ExecutorLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new OptionError(
        `executor limit ${name}: expected a whole number above 0, got ${value} - correct the limit`,
      );
    }
  }
}

/** Throws OptionError for anything but a whole number above 0. */
export function checkThreads(threads: number): void {
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new OptionError(
      `threads: expected a whole number above 0, got ${threads} - use the number of cores`,
    );
  }
}

/**
 * Throws where column caches are asked for and cannot be: see `cachedChoices`; sequences would share them.
 */
export function checkColumnCache(
  program: Program,
  { columnCache, columnStore, limits }: ExecutorOptions,
): void {
  if (columnCache === undefined) return;
  cachedChoices(program, columnCache);
  if (columnStore !== undefined) {
    throw new OptionError(
      `${columnStore.name}: has caches of its own, expected no others - set its gamma and policy instead`,
    );
  }
  checkOneSequence(columnCache.gamma, limits);
}

/**
 * Throws where attention of integer codes is asked to read a cache of bytes: it codes what it reads itself.
 */
export function checkKeyValueFormat(program: Program, { keyValueFormat }: ExecutorOptions): void {
  if (keyValueFormat !== "q8" || !program.ops.some((op) => op.kind === "attention" && op.codes !== undefined))
    return;
  throw new OptionError(
    `${program.name}: attention is quantized by its recipe, expected keys and values in f16 or f32, got q8 - choose f16`,
  );
}

/** Where what is in memory decides about the text, sequences must not share it. */
export function checkOneSequence(gamma: number, { slots }: ExecutorLimits): void {
  if (gamma === 1 || slots === 1) return;
  throw new OptionError(
    `gamma: expected 1 with ${slots} sequences at once, got ${gamma} - what is in memory decides about the text, and sequences share it`,
  );
}

/** Throws OptionError naming the first token, position, slot or output row that is out of range. */
export function checkStep(step: Step, limits: ExecutorLimits, knownTokens: number): void {
  const { tokens, positions, slots, outputs, visible } = step;
  const count = tokens.length;
  if (count < 1 || count > limits.stepTokens) {
    throw new OptionError(`step: expected 1 to ${limits.stepTokens} tokens, got ${count} - split the prompt`);
  }
  if (positions.length !== count || slots.length !== count) {
    throw new OptionError(
      `step: expected ${count} positions and slots, as many as tokens, got ${positions.length} and ${slots.length} - pass one of each per token`,
    );
  }
  checkRange("token", tokens, knownTokens, "use the tokenizer of this model");
  checkRange("position", positions, limits.contextLength, "raise the context length or shorten the text");
  checkRange("slot", slots, limits.slots, "raise the number of slots");
  if (visible !== undefined) checkVisible(visible, positions);
  for (let r = 0; r < outputs.length; r++) {
    if (outputs[r] < 0 || outputs[r] >= count || (r > 0 && outputs[r] <= outputs[r - 1])) {
      throw new OptionError(
        `step: output row ${r}, expected ascending rows from 0 to ${count - 1}, got ${outputs[r]} - pass every row once`,
      );
    }
  }
}

function checkVisible(visible: NonNullable<Step["visible"]>, positions: Int32Array): void {
  if (visible.length !== positions.length) {
    throw new OptionError(
      `step: expected visible positions of ${positions.length} rows, got ${visible.length} - pass one entry per row`,
    );
  }
  visible.forEach((intervals, row) => {
    if (intervals === undefined) return;
    if (intervals.length > MOST_INTERVALS) {
      throw new OptionError(
        `step: row ${row} sees ${intervals.length} intervals, expected at most ${MOST_INTERVALS} - let it see everything`,
      );
    }
    const ascends = intervals.every(
      ({ start, end }, i) => start < end && (i === 0 || start > intervals[i - 1].end),
    );
    if (!ascends || intervals[0]?.start < 0 || intervals.at(-1)?.end !== positions[row] + 1) {
      throw new OptionError(
        `step: visible positions of row ${row}, expected ascending intervals that end with position ${positions[row]} - correct them or leave the row out`,
      );
    }
  });
}

function checkRange(what: string, values: Int32Array, end: number, advice: string): void {
  for (let t = 0; t < values.length; t++) {
    if (values[t] < 0 || values[t] >= end) {
      throw new OptionError(
        `step: ${what} of row ${t}, expected 0 to ${end - 1}, got ${values[t]} - ${advice}`,
      );
    }
  }
}
