/**
 * The training executor's one shared memory: control block, the step's arrays, parameters with gradients and
 * moments as plain row-major f32 that the optimizer updates in place, activations, scratch.
 * Invariant: matrix kernels may read some rows past a parameter; what follows is memory of this plan.
 */
import { ResourceError } from "../../errors.ts";
import { CONTROL_BYTES, PANEL_ROWS } from "../../kernels/layout.ts";
import {
  NORM_CHUNK,
  QUERY_BLOCK,
  REDUCTION_BLOCK,
  ROW_BLOCK,
  SCALAR_COUNT,
} from "../../kernels/training-layout.ts";
import type { Buffer, Weight } from "../../program/program.ts";
import type { TrainingOp, TrainingProgram } from "../../program/training-ops.ts";
import { programRotaryTables } from "../../program/dataflow.ts";
import { Layouter, MAX_BYTES, PAGE_BYTES, roundUp } from "../wasm/shared-memory.ts";
import { maskBytes } from "./attention-masks.ts";
import { planBuffers } from "./buffer-plan.ts";
import type { ParameterPart, TrainingLimits } from "./training-executor.ts";

export type PlacedParameter = Readonly<Partial<Record<ParameterPart, number>>> & {
  readonly weights: number;
  readonly size: number;
};

export interface TrainingMemory {
  readonly pages: number;
  readonly control: number;
  readonly tokens: number;
  readonly positions: number;
  readonly outputs: number;
  readonly targets: number;
  readonly bounds: number;
  /** Where the masks of each sequence begin, and the masks (attention-masks.ts). */
  readonly maskPlaces: number;
  readonly masks: number;
  readonly scalars: number;
  readonly parameters: ReadonlyMap<string, PlacedParameter>;
  /** Gradients of all trainable parameters, one after the other. */
  readonly gradients: { readonly address: number; readonly bytes: number };
  /** Partial sums of squares of the gradients. */
  readonly squareSums: number;
  /** Angles by position, forward and backward. */
  readonly angles: ReadonlyMap<string, { readonly forward: number; readonly inverse: number }>;
  readonly buffers: ReadonlyMap<string, { readonly address: number; readonly stride: number }>;
  readonly activationBytes: number;
  /** The packed operand of the running product. */
  readonly packed: number;
  /** One inverse root mean square per row and group. */
  readonly inverses: number;
  readonly scratch: number;
  readonly scratchStride: number;
  readonly tape: number;
  readonly tapeBytes: number;
}

/** Throws ResourceError when all of it does not fit 4 GiB. */
export function planTrainingMemory(
  program: TrainingProgram,
  limits: TrainingLimits,
  threads: number,
): TrainingMemory {
  const space = new Layouter();
  const take = (bytes: number) => space.take(bytes);
  const rows = roundUp(limits.rows, 4);
  const control = take(CONTROL_BYTES);
  const [tokens, positions, outputs, targets] = [0, 1, 2, 3].map(() => take(4 * rows));
  const bounds = take(4 * (rows + 1));
  const maskPlaces = take(4 * rows);
  const masks = take(maskBytes(limits.rows, limits.sequenceLength));
  const scalars = take(4 * SCALAR_COUNT);
  const { parameters, gradients } = placeParameters(program, take);
  const squareSums = take(4 * Math.ceil(gradients.bytes / 4 / NORM_CHUNK));
  const angles = new Map(
    programRotaryTables(program).map((table) => {
      const bytes = 8 * table.inverseFrequencies.length * limits.sequenceLength;
      return [table.name, { forward: take(bytes), inverse: take(bytes) }];
    }),
  );
  const { buffers, bytes: activationBytes } = placeBuffers(program, rows, take);
  const packed = take(4 * Math.max(...program.ops.map((op) => packedValues(op, rows))));
  const inverses = take(4 * rows * Math.max(1, ...program.ops.map(groupsOf)));
  const scratch = space.takePerThread(scratchBytes(program, limits), threads);
  const tapeBytes = 4 * 2 * (64 * program.ops.length + 16 * program.parameters.length + 64);
  const tape = take(tapeBytes);
  if (space.end > MAX_BYTES) throw tooLarge(program.name, space.end, activationBytes);
  return {
    pages: Math.ceil(space.end / PAGE_BYTES),
    control,
    tokens,
    positions,
    outputs,
    targets,
    bounds,
    maskPlaces,
    masks,
    scalars,
    parameters,
    gradients,
    squareSums,
    angles,
    buffers,
    activationBytes,
    packed,
    inverses,
    scratch: scratch.address,
    scratchStride: scratch.threadStride,
    tape,
    tapeBytes,
  };
}

/** Bytes from one row of a buffer to the next. */
export function rowStride(buffer: Buffer): number {
  return 4 * roundUp(buffer.width, PANEL_ROWS);
}

/** First value of a weight inside its parameter. */
export function weightOffset({ firstRow, columns }: Weight): number {
  return firstRow * columns;
}

type Take = (bytes: number) => number;

function placeParameters(
  program: TrainingProgram,
  take: Take,
): Pick<TrainingMemory, "parameters" | "gradients"> {
  const trainable = program.parameters.filter((parameter) => parameter.trainable);
  const area = (of: typeof program.parameters) =>
    new Map(of.map(({ tensor, size }) => [tensor, take(4 * size)]));
  const weights = area(program.parameters);
  const start = take(0);
  const gradients = area(trainable);
  const end = take(0);
  const [first, second] = [area(trainable), area(trainable)];
  const parameters = new Map<string, PlacedParameter>();
  for (const { tensor, size } of program.parameters) {
    const [w, g, m, v] = [weights, gradients, first, second].map((places) => places.get(tensor));
    if (w === undefined) throw new Error(`training memory: ${tensor} has no place`);
    const moments =
      g === undefined || m === undefined || v === undefined ? {} : { gradients: g, first: m, second: v };
    parameters.set(tensor, { size, weights: w, ...moments });
  }
  return { parameters, gradients: { address: start, bytes: end - start } };
}

function placeBuffers(
  program: TrainingProgram,
  rows: number,
  take: Take,
): { buffers: TrainingMemory["buffers"]; bytes: number } {
  const { losses, l1Sums, teacher } = program;
  const pinned = [...losses, ...l1Sums, ...(teacher === undefined ? [] : [teacher])];
  const strides = new Map<string, number>();
  const { offsets, bytes } = planBuffers(program.ops, pinned, (buffer) => {
    strides.set(buffer.name, rowStride(buffer));
    return roundUp(rowStride(buffer) * rows, 64);
  });
  const start = take(bytes);
  const buffers = new Map(
    [...offsets].map(([name, offset]) => [name, { address: start + offset, stride: strides.get(name) ?? 0 }]),
  );
  return { buffers, bytes };
}

/** Values of the packed operand of a product (kernels/matrix/multiply.as.ts). */
function packedValues(op: TrainingOp, rows: number): number {
  switch (op.kind) {
    case "linear":
      return op.weight.columns * roundUp(op.weight.rows, 8);
    case "linearInputGradient":
      return op.weight.rows * roundUp(op.weight.columns, 8);
    case "linearWeightGradient":
      return rows * roundUp(op.weight.columns, 8);
    default:
      return 0;
  }
}

function groupsOf(op: TrainingOp): number {
  return op.kind === "rmsNormWeightGradient" ? op.groups : 1;
}

/** Most that one thread needs for a product, a selection, an attention or a teacher's row. */
function scratchBytes(program: TrainingProgram, limits: TrainingLimits): number {
  const tall = roundUp(limits.sequenceLength, 8);
  const product = ROW_BLOCK * REDUCTION_BLOCK + 48;
  const byOp = program.ops.map((op) => {
    if (op.kind === "keepColumns") return op.by.width + 5; // a selection
    if (op.kind === "activate") return roundUp(op.out.width, PANEL_ROWS); // a row of ones
    if (op.kind !== "sequenceAttention" && op.kind !== "attentionGradient") return 0;
    const wide = roundUp(op.facts.headWidth, 8);
    const block = wide * QUERY_BLOCK;
    return op.kind === "sequenceAttention"
      ? 2 * wide * tall + 16 * wide + 16 + 8 * (tall + 8)
      : 5 * wide * tall + 4 * block + 8 * wide + 4 * QUERY_BLOCK + 16 + 2 * QUERY_BLOCK * (tall + 8);
  });
  const teacher = program.teacher === undefined ? 0 : roundUp(program.vocabularySize, 8);
  return 4 * Math.max(product, teacher, ...byOp);
}

function tooLarge(name: string, bytes: number, activationBytes: number): ResourceError {
  const gib = (value: number) => (value / 2 ** 30).toFixed(2);
  return new ResourceError(
    `${name}: training takes ${gib(bytes)} GiB (activations ${gib(activationBytes)} GiB), expected at most the 4 GiB of ` +
      "a WebAssembly memory - use fewer tokens per micro-batch or recompute activations",
  );
}
