/**
 * Every training op alone, wasm beside the reference, with relaxed and plain SIMD. All memory that holds no input is filled
 * with NaN patterns first, and afterwards nothing may have changed but what the op may write.
 */
import { describe, expect, test } from "vitest";
import { type OpContext, runOp } from "../../src/executors/training/reference-ops.ts";
import type { LossWeights, TrainingBatch } from "../../src/executors/training/training-executor.ts";
import {
  planTrainingMemory,
  rowStride,
  type TrainingMemory,
} from "../../src/executors/training/training-memory.ts";
import { createWasmTraining } from "../../src/executors/training/wasm-training.ts";
import { CONTROL_BYTES } from "../../src/kernels/layout.ts";
import { SCALAR_COUNT } from "../../src/kernels/training-layout.ts";
import { normalValues } from "../../src/models/synthetic/random.ts";
import type { Buffer, Weight } from "../../src/program/program.ts";
import { listParameters, touchedBy } from "../../src/program/training-dataflow.ts";
import type { TrainingOp, TrainingProgram } from "../../src/program/training-ops.ts";
import { inlinePlatform } from "./inline-platform.ts";
import { type TrainingCase, trainingCases } from "./training-cases.ts";

const CASES = trainingCases();
const INLINE = inlinePlatform();
const VOCABULARY = 13;
const WEIGHTS: LossWeights = { target: 0.7, teacher: 0.4, l1: 0.3 };
const FIRST_ADDRESS = 65536;

test("rows have names of their own", () => {
  expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
});

/** Complete by its type: a new kind of op does not compile until it is listed. */
const KINDS: Readonly<Record<TrainingOp["kind"], true>> = {
  embed: true,
  rmsNorm: true,
  linear: true,
  glu: true,
  add: true,
  scale: true,
  selectOutputs: true,
  rotate: true,
  sequenceAttention: true,
  crossEntropy: true,
  distillation: true,
  l1Gradient: true,
  linearInputGradient: true,
  linearWeightGradient: true,
  biasGradient: true,
  rmsNormInputGradient: true,
  rmsNormWeightGradient: true,
  attentionGradient: true,
  gluGradient: true,
  embedGradient: true,
  scatterOutputs: true,
  keepColumns: true,
  activate: true,
};

test("every op has rows", () => {
  expect(new Set(CASES.map(({ op }) => op.kind))).toEqual(new Set(Object.keys(KINDS)));
});

describe.each(["relaxed", "plain"] as const)("training ops with %s SIMD", (simd) => {
  test.each(CASES.map((trainingCase) => [trainingCase.name, trainingCase] as const))("%s", async (_, row) => {
    await runRow(row, simd);
  });
});

async function runRow(row: TrainingCase, simd: "relaxed" | "plain"): Promise<void> {
  const batch = batchOf(row);
  const program = programOf(row);
  const limits = { rows: batch.tokens.length, sequenceLength: Math.max(...row.lengths) };
  const reference = runReference(row, batch);
  const training = await createWasmTraining(INLINE, program, { threads: 1, limits, simd });
  try {
    const plan = planTrainingMemory(program, limits, 1);
    const memory = new Uint8Array(INLINE.memory().buffer);
    poison(memory, plan);
    for (const [name, values] of reference.inputs) place(memory, plan, name, values.buffer, values.rows);
    for (const { tensor, size } of program.parameters) {
      training.write(tensor, "weights", initial(row, `${tensor}/weights`, size));
      training.write(tensor, "gradients", initial(row, `${tensor}/gradients`, size));
    }
    const before = memory.slice();
    await training.accumulate(batch, WEIGHTS);
    for (const [buffer, expected] of reference.results) {
      expectClose(buffer.name, readRows(memory, plan, buffer, rowsOf(buffer, batch)), expected, row.bound);
    }
    for (const { tensor } of program.parameters) {
      const expected = reference.slopes.get(tensor) ?? new Float64Array();
      expectClose(`gradient of ${tensor}`, training.read(tensor, "gradients"), expected, row.bound);
    }
    expect(firstDamage(memory, before, writable(row, plan, batch, program))).toBeUndefined();
  } finally {
    await training.dispose();
  }
}

function batchOf({ op, lengths, outputs, visible }: TrainingCase): TrainingBatch {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const vocabulary = op.kind === "crossEntropy" ? op.logits.width : VOCABULARY;
  return {
    tokens: Int32Array.from({ length: rows }, (_, i) => ((i * 5) % 7) % vocabulary),
    positions: Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))),
    bounds: Int32Array.from([0, ...lengths].map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0))),
    outputs: Int32Array.from(outputs),
    targets: Int32Array.from(outputs, (row) => (row * 5 + 2) % vocabulary),
    ...(visible && { visible: lengths.flatMap((length) => Array.from({ length }, (_, i) => visible(i))) }),
  };
}

/** The op alone; a buffer of losses that nothing writes stands in where it computes none. */
function programOf({ op }: TrainingCase): TrainingProgram {
  const losses: Buffer = "losses" in op ? op.losses : { name: "no losses", width: 1, rows: "outputs" };
  return {
    name: op.kind,
    ops: [op],
    forwardOps: 1,
    logits: losses,
    losses: [losses],
    l1Sums: [],
    teacher: undefined,
    parameters: listParameters([op], () => true),
    vocabularySize: op.kind === "crossEntropy" ? op.logits.width : VOCABULARY,
    contextLength: 1000,
  };
}

interface Rows {
  readonly buffer: Buffer;
  readonly rows: Float64Array;
}

interface Expected {
  readonly inputs: ReadonlyMap<string, Rows>;
  readonly results: ReadonlyMap<Buffer, Float64Array>;
  readonly slopes: ReadonlyMap<string, Float64Array>;
}

function runReference(row: TrainingCase, batch: TrainingBatch): Expected {
  const { reads, writes, weights } = touchedBy(row.op);
  const values = new Map<string, Rows>();
  for (const buffer of [...reads, ...writes]) {
    const rows = Float64Array.from(initial(row, buffer.name, rowsOf(buffer, batch) * buffer.width));
    values.set(buffer.name, { buffer, rows });
  }
  const slopes = new Map<string, Float64Array>();
  const part = ({ name, rows, columns }: Weight, what: string) =>
    Float64Array.from(initial(row, `${name}/${what}`, rows * columns));
  for (const weight of weights) slopes.set(weight.name, part(weight, "gradients"));
  const context: OpContext = {
    batch,
    weights: WEIGHTS,
    of: (buffer) => values.get(buffer.name)?.rows ?? new Float64Array(),
    rows: (buffer) => rowsOf(buffer, batch),
    value: (weight) => part(weight, "weights"),
    slope: (weight) => slopes.get(weight.name) ?? new Float64Array(),
  };
  consistentStatistics(row, context);
  const inputs = new Map(
    [...values].map(([name, { buffer, rows }]) => [name, { buffer, rows: rows.slice() }]),
  );
  runOp(row.op, context);
  return { inputs, results: new Map(writes.map((buffer) => [buffer, context.of(buffer)])), slopes };
}

/** The gradient of attention takes results of attention, not just any numbers. */
function consistentStatistics({ op }: TrainingCase, context: OpContext): void {
  if (op.kind !== "attentionGradient") return;
  const { query, key, value, attended, logSumExp, facts } = op;
  runOp({ kind: "sequenceAttention", query, key, value, out: attended, logSumExp, facts }, context);
}

function initial({ op, size }: TrainingCase, name: string, count: number): Float32Array {
  return normalValues(7, `${op.kind}/${name}`, count, 0, size);
}

function rowsOf(buffer: Buffer, batch: TrainingBatch): number {
  return buffer.rows === "tokens" ? batch.tokens.length : batch.outputs.length;
}

/** Ones everywhere but in what the executor has set up. */
function poison(memory: Uint8Array, plan: TrainingMemory): void {
  const { control, scalars, angles, tape, tapeBytes, gradients } = plan;
  const firstAngles = Math.min(
    ...[...angles.values()].map(({ forward }) => forward),
    Number.POSITIVE_INFINITY,
  );
  const activations = Math.min(...[...plan.buffers.values()].map(({ address }) => address));
  memory.fill(0xff, control + CONTROL_BYTES, scalars);
  memory.fill(0xff, gradients.address + gradients.bytes, Math.min(firstAngles, activations));
  memory.fill(0xff, activations, tape);
  memory.fill(0xff, tape + tapeBytes);
}

function place(
  memory: Uint8Array,
  plan: TrainingMemory,
  name: string,
  buffer: Buffer,
  rows: Float64Array,
): void {
  const address = plan.buffers.get(name)?.address ?? 0;
  for (let row = 0; row * buffer.width < rows.length; row++) {
    const target = new Float32Array(memory.buffer, address + row * rowStride(buffer), buffer.width);
    target.set(rows.subarray(row * buffer.width, (row + 1) * buffer.width));
  }
}

function readRows(memory: Uint8Array, plan: TrainingMemory, buffer: Buffer, count: number): Float32Array {
  const address = plan.buffers.get(buffer.name)?.address ?? 0;
  const values = new Float32Array(count * buffer.width);
  for (let row = 0; row < count; row++) {
    values.set(
      new Float32Array(memory.buffer, address + row * rowStride(buffer), buffer.width),
      row * buffer.width,
    );
  }
  return values;
}

function expectClose(what: string, values: Float32Array, expected: Float64Array, bound: number): void {
  expect(values.length, what).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  expect(values.every(Number.isFinite), `${what} is finite`).toBe(true);
  expect(worst, what).toBeLessThanOrEqual(bound * Math.max(largest, 1e-3));
}

/** [start, end) ranges that may change: whole tiles of rows of results, padding of logits, gradients, scratch. */
function writable(
  { op }: TrainingCase,
  plan: TrainingMemory,
  batch: TrainingBatch,
  program: TrainingProgram,
): [number, number][] {
  const { reads, writes } = touchedBy(op);
  const padded = op.kind === "crossEntropy" || op.kind === "distillation" ? reads : [];
  const tiles = (rows: number) => 4 * Math.ceil(rows / 4);
  const buffers = [...writes, ...padded].map((buffer): [number, number] => {
    const start = plan.buffers.get(buffer.name)?.address ?? 0;
    return [start, start + rowStride(buffer) * tiles(rowsOf(buffer, batch))];
  });
  const gradients = program.parameters.map(({ tensor, size }): [number, number] => {
    const start = plan.parameters.get(tensor)?.gradients ?? 0;
    return [start, start + 4 * size];
  });
  const setUp: [number, number] = [plan.control, plan.scalars + 4 * SCALAR_COUNT];
  return [...buffers, ...gradients, setUp, [plan.packed, plan.scratch + plan.scratchStride]];
}

/** The first byte outside the ranges that changed. */
function firstDamage(
  memory: Uint8Array,
  before: Uint8Array,
  ranges: readonly (readonly [number, number])[],
): number | undefined {
  for (const [start, end] of ranges) before.set(memory.subarray(start, end), start);
  const at = memory.findIndex((byte, i) => i >= FIRST_ADDRESS && byte !== before[i]);
  return at === -1 ? undefined : at;
}
