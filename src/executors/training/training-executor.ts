/**
 * The contract of what runs training programs: `ReferenceTraining` (readable oracle) and `WasmTraining`
 * (fast). A micro-batch is N tokens of whole sequences laid end to end; gradients add up over
 * micro-batches until an update.
 * Invariant: results do not depend on the number of threads, bit for bit.
 */
import { OptionError } from "../../errors.ts";
import type { AdamWSettings } from "../../kernels/optimizer/reference.ts";
import type { Interval } from "../../program/intervals.ts";
import type { TrainingProgram } from "../../program/training-ops.ts";

export type { AdamWSettings } from "../../kernels/optimizer/reference.ts";

export interface TrainingBatch {
  /** [N] */
  readonly tokens: Int32Array;
  /** [N], counted from the start of each sequence. */
  readonly positions: Int32Array;
  /** First row of every sequence, ascending from 0, and N at the end. */
  readonly bounds: Int32Array;
  /** [R] ascending rows whose next token counts. */
  readonly outputs: Int32Array;
  /** [R] the tokens these rows are to predict. */
  readonly targets: Int32Array;
  /**
   * [N] positions of the own sequence that attention of each row sees, ascending, itself included; undefined
   * rows and batches without see all up to themselves.
   */
  readonly visible?: readonly (readonly Interval[] | undefined)[] | undefined;
  /** [R, V] logits of the teacher, for programs that distil. */
  readonly teacher?: Float32Array;
}

/** What the losses are multiplied by in the gradient. */
export interface LossWeights {
  readonly target: number;
  readonly teacher: number;
  readonly l1: number;
}

export const NO_GRADIENT: LossWeights = { target: 0, teacher: 0, l1: 0 };

export interface BatchLosses {
  /** Sum over rows of -ln p(target), in nats. */
  readonly target: number;
  /** Sum over rows of the distance to the teacher. */
  readonly teacher: number;
  /** Sum of |x| over all penalised activations; 0 when only the forward pass ran. */
  readonly l1: number;
}

export type ParameterPart = "weights" | "gradients" | "first" | "second";

/** Sizes that are fixed when an executor is made. */
export interface TrainingLimits {
  /** Most tokens of a micro-batch. */
  readonly rows: number;
  /** Most tokens of a sequence. */
  readonly sequenceLength: number;
}

export interface TrainingExecutor {
  readonly program: TrainingProgram;
  readonly limits: TrainingLimits;
  /** Bytes of activations and their gradients. */
  readonly activationBytes: number;
  /** Losses alone. */
  evaluate(batch: TrainingBatch): Promise<BatchLosses>;
  /** Losses, and their weighted gradients added to what is there. */
  accumulate(batch: TrainingBatch, weights: LossWeights): Promise<BatchLosses>;
  /** Euclidean norm of the gradients of all trainable parameters. */
  gradientNorm(): Promise<number>;
  /** One optimizer step; clears the gradients. */
  update(settings: AdamWSettings): Promise<void>;
  /** A copy of a parameter's values; only weights exist of parameters that are not trainable. */
  read(tensor: string, part: ParameterPart): Float32Array;
  write(tensor: string, part: ParameterPart, values: Float32Array): void;
  dispose(): Promise<void>;
}

/** Throws OptionError naming the first thing about a batch that does not fit program and limits. */
export function checkBatch(batch: TrainingBatch, program: TrainingProgram, limits: TrainingLimits): void {
  const { tokens, positions, bounds, outputs, targets, teacher } = batch;
  const rows = tokens.length;
  const fail = (what: string) => {
    throw new OptionError(`training batch: ${what} - correct the batch or raise the limits`);
  };
  if (rows < 1 || rows > limits.rows) fail(`expected 1 to ${limits.rows} tokens, got ${rows}`);
  if (positions.length !== rows) fail(`expected ${rows} positions, got ${positions.length}`);
  if (targets.length !== outputs.length) fail(`expected ${outputs.length} targets, got ${targets.length}`);
  if (bounds[0] !== 0 || bounds[bounds.length - 1] !== rows)
    fail(`expected bounds from 0 to ${rows}, got ${bounds[0]} to ${bounds[bounds.length - 1]}`);
  for (let i = 1; i < bounds.length; i++) {
    const length = bounds[i] - bounds[i - 1];
    if (length < 1 || length > limits.sequenceLength)
      fail(`expected sequences of 1 to ${limits.sequenceLength} tokens, got ${length}`);
    for (let row = bounds[i - 1]; row < bounds[i]; row++) {
      const position = row - bounds[i - 1];
      if (positions[row] !== position)
        fail(`expected position ${position} in row ${row}, got ${positions[row]}`);
    }
  }
  for (const id of tokens)
    if (id < 0 || id >= program.vocabularySize)
      fail(`expected tokens below ${program.vocabularySize}, got ${id}`);
  for (const id of targets)
    if (id < 0 || id >= program.vocabularySize)
      fail(`expected targets below ${program.vocabularySize}, got ${id}`);
  outputs.forEach((row, i) => {
    if (row < 0 || row >= rows || (i > 0 && row <= outputs[i - 1]))
      fail(`expected ascending output rows below ${rows}, got ${row}`);
  });
  checkVisible(batch, fail);
  const expected = program.teacher === undefined ? undefined : outputs.length * program.vocabularySize;
  if (teacher?.length !== expected)
    fail(`expected ${expected ?? "no"} teacher logits, got ${teacher?.length}`);
}

function checkVisible({ visible, positions }: TrainingBatch, fail: (what: string) => void): void {
  if (visible === undefined) return;
  if (visible.length !== positions.length) {
    fail(`expected visible positions of ${positions.length} rows, got ${visible.length}`);
  }
  visible.forEach((intervals, row) => {
    let last = -1;
    for (const { start, end } of intervals ?? []) {
      if (start <= last || end <= start) fail(`visible positions of row ${row} must ascend`);
      last = end;
    }
    if (intervals !== undefined && last !== positions[row] + 1) {
      fail(`row ${row} must see itself and nothing later`);
    }
  });
}
