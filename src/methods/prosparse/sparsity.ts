/**
 * Sparsity as ProSparse (arXiv 2402.13516) defines it: the share of exact zeros in x1 = act(gate) * up, the input of a
 * down projection, as f32 computes it; per layer, and the mean over layers and tokens. Closed gates are counted the same
 * way: a neuron with an open gate must be computed even where its up is zero.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Platform } from "../../platform/types.ts";
import { buffersWritten } from "../../program/dataflow.ts";
import { createSegmentExecutor, runSegments, type SegmentRun } from "../calibration-segments.ts";
import type { Activation, Buffer, Op, Program, ScaleOp } from "../../program/program.ts";

export interface SparsityOptions extends RecordOptions {
  /** What counts: zeros of x1 (the paper's sparsity) or closed gates (what exact mode skips). */
  readonly of: "x1" | "gates";
}

export interface SparsityReport {
  /** Mean over layers and tokens. */
  readonly sparsity: number;
  readonly layers: readonly number[];
  /** Of tokens, over all layers: a tenth is sparser than the last. */
  readonly percentiles: { readonly p10: number; readonly p50: number; readonly p90: number };
  readonly tokens: number;
}

/** Tokens per step: bounds the memory for the copies of all activations. */
const STEP_TOKENS = 128;

/** What of a feed-forward is looked at: the input of its gate, what the gate gives, or x1. */
export type NeuronValue = "inputs" | "gates" | "x1";

export interface RecordOptions extends SegmentRun {
  readonly threads: number;
}

interface ObservedProgram {
  readonly program: Program;
  /** Copies that survive the step, layer by layer, of each value in its order. */
  readonly copies: readonly (readonly Buffer[])[];
}

/** The program with copies of values of every feed-forward. */
function observeNeurons(program: Program, wanted: readonly NeuronValue[]): ObservedProgram {
  const copies: Buffer[][] = [];
  const ops = program.ops.flatMap((op, index): Op[] => {
    if (op.kind !== "glu") return [op];
    const sources: Record<NeuronValue, () => Buffer> = {
      inputs: () => gateInput(program, index),
      gates: () => op.gate,
      x1: () => op.out,
    };
    const observe = wanted.map((value): ScaleOp => {
      const x = sources[value]();
      return { kind: "scale", x, out: { ...x, name: `observed ${value} ${copies.length}` }, factor: 1 };
    });
    copies.push(observe.map(({ out }) => out));
    // The result may lie where the gate was.
    const isResult = (_: Op, i: number) => wanted[i] === "x1";
    return [...observe.filter((copy, i) => !isResult(copy, i)), op, ...observe.filter(isResult)];
  });
  if (copies.length === 0) {
    throw new UnsupportedError(`${program.name}: has no gated feed-forward whose neurons could be counted`);
  }
  return { program: { ...program, ops }, copies };
}

function gateInput({ name, ops }: Program, glu: number): Buffer {
  const unit = ops[glu];
  const source = ops
    .slice(0, glu)
    .findLast((op) => unit.kind === "glu" && buffersWritten(op).some((out) => out.name === unit.gate.name));
  if (source === undefined || !("x" in source)) {
    throw new UnsupportedError(`${name}: a gate is no product, expected one with an input`);
  }
  return source.x;
}

/** The program with another activation in every gated unit. */
export function withActivation(program: Program, activation: Activation): Program {
  return { ...program, ops: program.ops.map((op) => (op.kind === "glu" ? { ...op, activation } : op)) };
}

/**
 * Runs the segments as prompts and shows what was wanted of each feed-forward: `read(layer)` gives the values of the step's
 * tokens, in the order of `wanted`, [tokens, width] each. Feed-forwards count from 0 in their order. Throws UnsupportedError
 * for programs without gated units.
 */
export async function recordNeurons(
  platform: Platform,
  file: ModelFile,
  program: Program,
  wanted: readonly NeuronValue[],
  options: RecordOptions,
  visit: (read: (layer: number) => Float32Array[], layers: number, tokens: number) => void,
): Promise<void> {
  const observed = observeNeurons(program, wanted);
  const { segments, threads } = options;
  const executor = await createSegmentExecutor(platform, observed.program, file, {
    segments,
    threads,
    stepTokens: STEP_TOKENS,
  });
  try {
    await runSegments(executor, options, { prompt: true }, (rows) => {
      const read = (layer: number) => observed.copies[layer].map((copy) => executor.readBuffer(copy, rows));
      visit(read, observed.copies.length, rows);
    });
  } finally {
    await executor.dispose();
  }
}

/** Counts zeros over all segments. Throws UnsupportedError for programs without gated units. */
export async function measureSparsity(
  platform: Platform,
  file: ModelFile,
  program: Program,
  { of, ...options }: SparsityOptions,
): Promise<SparsityReport> {
  const isOff = of === "x1" ? isZero : closedGate(firstActivation(program));
  const zeros: number[] = [];
  const byToken: number[] = [];
  await recordNeurons(platform, file, program, [of], options, (read, layers, tokens) => {
    const shares = new Array<number>(tokens).fill(0);
    for (let layer = 0; layer < layers; layer++) {
      const [values] = read(layer);
      const width = values.length / tokens;
      countByRow(values, width, isOff).forEach((count, row) => {
        zeros[layer] = (zeros[layer] ?? 0) + count / width;
        shares[row] += count / width / layers;
      });
    }
    byToken.push(...shares);
  });
  return summarize(zeros, byToken);
}

/** The configuration states one activation for all layers. */
function firstActivation({ ops }: Program): Activation | undefined {
  return ops.find((op) => op.kind === "glu")?.activation;
}

function isZero(value: number): boolean {
  return value === 0;
}

/** Gates that let nothing through; NaN is none of them, so that it stays visible. */
function closedGate(activation: Activation | undefined): (value: number) => boolean {
  const threshold = Math.fround(activation?.kind === "fatrelu" ? activation.threshold : 0);
  return threshold === 0 ? (value) => value <= 0 : (value) => value < threshold;
}

/** How many values of each row [rows, width] are off. */
function countByRow(values: Float32Array, width: number, isOff: (value: number) => boolean): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let count = 0;
    for (let i = row * width; i < (row + 1) * width; i++) if (isOff(values[i])) count++;
    return count;
  });
}

function summarize(zeros: readonly number[], byToken: readonly number[]): SparsityReport {
  const layers = zeros.map((sum) => sum / byToken.length);
  const sorted = [...byToken].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return {
    sparsity: layers.reduce((sum, share) => sum + share, 0) / layers.length,
    layers,
    percentiles: { p10: at(0.1), p50: at(0.5), p90: at(0.9) },
    tokens: byToken.length,
  };
}
