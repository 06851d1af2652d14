/**
 * Channel statistics of every activation that linears read, gathered by running the program over calibration text.
 * Source: Tender (arXiv 2406.12930), calibration: bias as the mean over segments of (max + min) / 2 per row chunk, ranges
 * as maxima over segments, here with the final bias (the released code takes ranges with each segment's own).
 * Invariant: chunk means absolute position in the segment; the extremes over all segments give the ranges exactly.
 */
import type { Executor } from "../../executors/executor.ts";
import type { Buffer, LinearOp, Op, Program } from "../../program/program.ts";
import { buffersWritten } from "../../program/dataflow.ts";
import { attentionInputs, type ObservedOperand } from "./attention-codes.ts";
import { runSegments, type SegmentRun } from "../calibration-segments.ts";
import { type ChannelRange, channelBias } from "./grouping.ts";

/** An activation and the linears that read it, before any of them runs. */
export interface ObservedInput {
  /** Name of the first linear's weight. */
  readonly name: string;
  readonly linears: readonly LinearOp[];
  /** Copy of the activation that survives the step. */
  readonly copy: Buffer;
  /** Whether a norm made it; the paper subtracts channel biases there. */
  readonly normed: boolean;
}

/** An executor that can show what a buffer held after a step. */
export type ObservableExecutor = Executor & { readBuffer(buffer: Buffer, rows: number): Float32Array };

/** The program with a copy of each linear's input, and of what attention reads if wanted, and what the copies are. */
export function observeInputs(
  program: Program,
  attention = false,
): {
  readonly program: Program;
  readonly inputs: readonly ObservedInput[];
  readonly operands: readonly ObservedOperand[];
} {
  const ops: Op[] = [];
  const operands: ObservedOperand[] = [];
  const observe = (name: string, x: Buffer, factor: number) => {
    const copy: Buffer = { ...x, name: `observed ${name}` };
    operands.push({ name, copy });
    ops.push({ kind: "scale", x, out: copy, factor });
  };
  const inputs: (ObservedInput & { linears: LinearOp[] })[] = [];
  const current = new Map<string, (typeof inputs)[number]>();
  const writers = new Map<string, Op["kind"]>();
  for (const op of program.ops) {
    if (op.kind === "linear") {
      const known = current.get(op.x.name);
      if (known === undefined) {
        const copy: Buffer = { ...op.x, name: `observed ${op.weight.name}` };
        const normed = writers.get(op.x.name) === "rmsNorm";
        const input = { name: op.weight.name, linears: [op], copy, normed };
        inputs.push(input);
        current.set(op.x.name, input);
        ops.push({ kind: "scale", x: op.x, out: copy, factor: 1 });
      } else {
        known.linears.push(op);
      }
    }
    if (attention && op.kind === "storeKeyValue") {
      observe(attentionInputs(op).key, op.key, 1);
      observe(attentionInputs(op).value, op.value, 1);
    }
    if (attention && op.kind === "attention") observe(attentionInputs(op).query, op.query, op.scale);
    ops.push(op);
    for (const written of buffersWritten(op)) {
      current.delete(written.name);
      writers.set(written.name, op.kind);
    }
  }
  return { program: { ...program, ops }, inputs, operands };
}

/** Statistics of one activation in one row chunk. */
export interface ChunkStatistics {
  /** Extremes over all segments. */
  readonly range: ChannelRange;
  /** Mean over segments of (max + min) / 2. */
  readonly bias: Float64Array;
}

/** By input name, one entry per chunk. */
export type Calibration = ReadonlyMap<string, readonly ChunkStatistics[]>;

export interface CalibrationPlan extends SegmentRun {
  /** Rows per chunk, undefined for one chunk of everything. */
  readonly chunkRows: number | undefined;
}

/** Runs the observed program over all segments. The executor must have been made for it, with one slot. */
export async function calibrate(
  executor: ObservableExecutor,
  inputs: readonly ObservedOperand[],
  plan: CalibrationPlan,
): Promise<Calibration> {
  const { segments, chunkRows } = plan;
  const longest = Math.max(...segments.map(({ tokens }) => tokens.length));
  const chunks = chunkRows === undefined ? 1 : Math.floor(longest / chunkRows);
  const gathered = inputs.map(({ copy }) => new InputStatistics(copy.width, chunks, chunkRows ?? longest));
  const allOutputs = inputs.some(({ copy }) => copy.rows === "outputs");
  await runSegments(executor, plan, { allOutputs }, (rows, first, { tokens }) => {
    inputs.forEach(({ copy }, i) => {
      gathered[i].observe(executor.readBuffer(copy, rows), first);
      if (first + rows === tokens.length) gathered[i].endSegment();
    });
  });
  return new Map(inputs.map(({ name }, i) => [name, gathered[i].finish()]));
}

class InputStatistics {
  readonly #width: number;
  readonly #chunkRows: number;
  readonly #segment: ChannelRange[];
  readonly #overall: ChannelRange[];
  readonly #biasSums: Float64Array[];
  readonly #counts: number[];

  constructor(width: number, chunks: number, chunkRows: number) {
    this.#width = width;
    this.#chunkRows = chunkRows;
    this.#segment = Array.from({ length: chunks }, () => emptyRange(width));
    this.#overall = Array.from({ length: chunks }, () => emptyRange(width));
    this.#biasSums = Array.from({ length: chunks }, () => new Float64Array(width));
    this.#counts = new Array<number>(chunks).fill(0);
  }

  observe(values: Float32Array, firstPosition: number): void {
    const width = this.#width;
    for (let row = 0; row * width < values.length; row++) {
      const chunk = Math.min(Math.floor((firstPosition + row) / this.#chunkRows), this.#segment.length - 1);
      const { minima, maxima } = this.#segment[chunk];
      for (let j = 0; j < width; j++) {
        const value = values[row * width + j];
        if (value < minima[j]) minima[j] = value;
        if (value > maxima[j]) maxima[j] = value;
      }
    }
  }

  endSegment(): void {
    this.#segment.forEach((range, chunk) => {
      if (range.minima[0] === Number.POSITIVE_INFINITY) return; // the segment was shorter than this chunk's start
      const bias = channelBias(range);
      for (let j = 0; j < this.#width; j++) this.#biasSums[chunk][j] += bias[j];
      this.#counts[chunk]++;
      widen(this.#overall[chunk], range);
      range.minima.fill(Number.POSITIVE_INFINITY);
      range.maxima.fill(Number.NEGATIVE_INFINITY);
    });
  }

  finish(): ChunkStatistics[] {
    return this.#overall.map((range, chunk) => ({
      range,
      bias: this.#biasSums[chunk].map((sum) => sum / this.#counts[chunk]),
    }));
  }
}

function emptyRange(width: number): ChannelRange {
  return {
    minima: new Float64Array(width).fill(Number.POSITIVE_INFINITY),
    maxima: new Float64Array(width).fill(Number.NEGATIVE_INFINITY),
  };
}

function widen(into: ChannelRange, range: ChannelRange): void {
  for (let j = 0; j < range.minima.length; j++) {
    into.minima[j] = Math.min(into.minima[j], range.minima[j]);
    into.maxima[j] = Math.max(into.maxima[j], range.maxima[j]);
  }
}
