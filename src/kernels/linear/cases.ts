/**
 * Case rows of the linear kernels: every weight format in kernel memory with odd shapes, stored blocks
 * with scales at the edges of f16, every file format that is encoded anew on loading, forced storages,
 * parts of fused tensors.
 */
import type { Buffer, Weight } from "../../program/program.ts";
import { FORCED_FORMATS, type ForcedFormat } from "../../program/weight-storage.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import { weightFormats } from "../../quantization/registry.ts";
import { formatBytes, type WeightFormat } from "../../quantization/weight-format.ts";
import { CaseBuilder, INPUT_COUNT, statelessSteps } from "../case-builder.ts";
import type { CaseModel, CaseStep, KernelCase, KernelNames } from "../kernel-case.ts";
import { roundToI16, roundToI8Blocks } from "./activation-rounding.ts";
import { linear } from "./reference.ts";
import { EDGE_SCALES, randomBlocks, scaledBlocks } from "./stored-blocks.ts";

/** One chain of f32 multiply-adds over up to a few hundred columns, some of which cancel. */
const FLOAT_BOUND = 1e-5;
/** i16 activations, beside f32 ones. */
const I16_BOUND = 3e-4;
/** i8 activations, beside f32 ones. */
const I8_BOUND = 0.06;
/** Weights kept in 8-bit blocks that were finer in the file. */
const ENCODED_BOUND = 0.03;
/** The kernels' own arithmetic in f32, beside the same in f64. */
const MODEL_BOUND = 1e-5;

/** Tiny inputs beside tiny weights, whose products are still far from f32's subnormal numbers. */
const SMALL_BESIDE_EDGES = 1e-6;

const FLOAT_SHAPES = [
  [1, 1],
  [1, 33],
  [7, 5],
  [8, 32],
  [9, 100],
  [40, 7],
  [67, 64],
] as const;

const BLOCK_SHAPES = [
  [1, 32],
  [7, 64],
  [8, 32],
  [9, 96],
  [24, 32],
  [40, 160],
  [67, 64],
] as const;

type Rounding = (row: Float32Array) => Float32Array;

interface Kernel {
  readonly format: WeightFormat;
  readonly kernel: KernelNames;
  readonly bound: number;
  readonly rounding: Rounding | undefined;
}

const F32: Kernel = { format: f32, kernel: names("f32_f32"), bound: FLOAT_BOUND, rounding: undefined };
const F16: Kernel = { format: f16, kernel: names("f16_f32"), bound: FLOAT_BOUND, rounding: undefined };
const BF16: Kernel = { format: bf16, kernel: names("bf16_f32"), bound: FLOAT_BOUND, rounding: undefined };
const Q8: Kernel = { format: q8_0, kernel: names("q8_i16"), bound: I16_BOUND, rounding: roundToI16 };
const Q4: Kernel = { format: q4_0, kernel: names("q4_i8"), bound: I8_BOUND, rounding: roundToI8Blocks };

export function linearCases(): readonly KernelCase[] {
  return [
    ...[F32, F16, BF16].flatMap((kernel) => FLOAT_SHAPES.map((shape, i) => shapeCase(kernel, shape, i))),
    ...[Q8, Q4].flatMap((kernel) => BLOCK_SHAPES.map((shape, i) => shapeCase(kernel, shape, i))),
    ...[Q8, Q4].flatMap((kernel) => EDGE_SCALES.map((scale) => edgeScaleCase(kernel, scale))),
    ...[2 ** -24, -1023 * 2 ** -24, 2 ** -14, 65504, -65504, -0].map((value) => edgeFloatCase(F16, value)),
    ...[1e-30, -1e-20, 1e28, -1e28, -0].map((value) => edgeFloatCase(BF16, value)),
    largeInputCase(F16),
    largeInputCase(BF16),
    ...weightFormats.filter(isEncodedAnew).map(encodedCase),
    ...FORCED_FORMATS.map(forcedCase),
    outputRowsCase(Q8),
    outputRowsCase(F32),
    fusedPartCase(),
  ];
}

function names(formats: string): KernelNames {
  return { decode: `linear_${formats}_row`, batch: `linear_${formats}_tile` };
}

function shapeCase(kernel: Kernel, [rows, columns]: readonly [number, number], index: number): KernelCase {
  const builder = new CaseBuilder(`linear ${kernel.format.name} [${rows}, ${columns}]`);
  const inputs = builder.inputRows(columns);
  const values = builder.random("weight", rows * columns);
  const weight = builder.matrix("weight", rows, columns, kernel.format, values);
  const bias = index % 2 === 0 ? undefined : builder.random("bias", rows);
  return finish(builder, kernel, { inputs, weight, bias, stored: keptBy(kernel.format, values) });
}

/** Blocks of one scale (an f16 bit pattern), with every quant that a byte can hold. */
function edgeScaleCase(kernel: Kernel, scale: number): KernelCase {
  const [rows, columns] = [19, 128];
  const builder = new CaseBuilder(`linear ${kernel.format.name} scales 0x${scale.toString(16)}`);
  const bytes = scaledBlocks(kernel.format, (rows * columns) / kernel.format.blockSize, scale);
  const inputs = builder.inputRows(columns, { smallest: SMALL_BESIDE_EDGES });
  const weight = builder.storedMatrix("weight", rows, columns, kernel.format, bytes);
  const stored = decoded(kernel.format, bytes, rows * columns);
  return finish(builder, kernel, { inputs, weight, bias: undefined, stored });
}

/** A matrix of one extreme value, where a shortcut of a widening would show. */
function edgeFloatCase(kernel: Kernel, value: number): KernelCase {
  const [rows, columns] = [9, 24];
  const builder = new CaseBuilder(`linear ${kernel.format.name} weights of ${value}`);
  const values = new Float32Array(rows * columns).fill(value);
  const inputs = builder.inputRows(columns, { smallest: SMALL_BESIDE_EDGES });
  const weight = builder.matrix("weight", rows, columns, kernel.format, values);
  return finish(builder, kernel, { inputs, weight, bias: undefined, stored: keptBy(kernel.format, values) });
}

/** Inputs beyond f16's range: f32 activations must carry them. */
function largeInputCase(kernel: Kernel): KernelCase {
  const [rows, columns] = [12, 40];
  const builder = new CaseBuilder(`linear ${kernel.format.name} inputs up to 1e9`);
  const inputs = builder.random("inputs", INPUT_COUNT * columns).map((value) => value * 3e8);
  const values = builder.random("weight", rows * columns);
  const weight = builder.matrix("weight", rows, columns, kernel.format, values);
  return finish(builder, kernel, { inputs, weight, bias: undefined, stored: keptBy(kernel.format, values) });
}

function isEncodedAnew(format: WeightFormat): boolean {
  return ![F32, F16, BF16, Q8, Q4].some((kernel) => kernel.format === format);
}

/** A file format without kernels of its own is kept as q8. */
function encodedCase(format: WeightFormat): KernelCase {
  const [rows, columns] = [13, 512];
  const builder = new CaseBuilder(`linear ${format.name} kept as q8`);
  const bytes = randomBlocks(format, (rows * columns) / format.blockSize);
  const inputs = builder.inputRows(columns);
  const weight = builder.storedMatrix("weight", rows, columns, format, bytes);
  const stored = keptBy(q8_0, decoded(format, bytes, rows * columns));
  return finish(builder, { ...Q8, bound: ENCODED_BOUND }, { inputs, weight, bias: undefined, stored });
}

/** A storage forced on an f32 file; rows of 33 columns are no whole blocks, which leaves f16 for them. */
function forcedCase(forced: ForcedFormat): KernelCase {
  const kernel = { f32: F32, f16: F16, q8: Q8, q4: Q4 }[forced];
  const fallback = forced === "f32" ? F32 : F16;
  const builder = new CaseBuilder(`linear forced to ${forced}`);
  const x = builder.input("x", builder.inputRows(64), 64);
  const middle: Buffer = { name: "middle", width: 33, rows: "tokens" };
  const out: Buffer = { name: "out", width: 21, rows: "tokens" };
  const first = builder.matrix("first", 33, 64, f32, builder.random("first", 33 * 64));
  const second = builder.matrix("second", 21, 33, f32, builder.random("second", 21 * 33));
  builder.push({ kind: "linear", x, weight: first, bias: undefined, out: middle });
  builder.test({ kind: "linear", x: middle, weight: second, bias: undefined, out });
  return builder.finish(out, {
    kernel: fallback.kernel,
    bound: kernel.bound,
    steps: statelessSteps(),
    weightFormat: forced,
  });
}

/** After the rows that want logits were picked, a batch may have one row or none. */
function outputRowsCase(kernel: Kernel): KernelCase {
  const [rows, columns] = [29, 64];
  const builder = new CaseBuilder(`linear ${kernel.format.name} on output rows`);
  const inputs = builder.inputRows(columns);
  const x = builder.input("x", inputs, columns);
  const picked: Buffer = { name: "picked", width: columns, rows: "outputs" };
  const out: Buffer = { name: "out", width: rows, rows: "outputs" };
  const weight = builder.matrix(
    "weight",
    rows,
    columns,
    kernel.format,
    builder.random("weight", rows * columns),
  );
  builder.push({ kind: "selectOutputs", x, out: picked });
  builder.test({ kind: "linear", x: picked, weight, bias: undefined, out });
  return builder.finish(out, { kernel: kernel.kernel, bound: kernel.bound, steps: statelessSteps() });
}

/** Rows 11 to 30 of a tensor of 37, with the same part of a bias vector. */
function fusedPartCase(): KernelCase {
  const columns = 64;
  const builder = new CaseBuilder("linear Q8_0 part of a fused tensor");
  const inputs = builder.inputRows(columns);
  const whole = builder.matrix("whole", 37, columns, q8_0, builder.random("whole", 37 * columns));
  const weight: Weight = { ...whole, name: "part", rows: 20, firstRow: 11 };
  const x = builder.input("x", inputs, columns);
  const out: Buffer = { name: "out", width: 20, rows: "tokens" };
  builder.test({ kind: "linear", x, weight, bias: undefined, out });
  return builder.finish(out, { kernel: Q8.kernel, bound: Q8.bound, steps: statelessSteps() });
}

interface Parts {
  readonly inputs: Float32Array;
  readonly weight: Weight;
  readonly bias: Float32Array | undefined;
  /** What kernel memory keeps of the weight, f32 [rows, columns]. */
  readonly stored: Float32Array;
}

function finish(builder: CaseBuilder, kernel: Kernel, parts: Parts): KernelCase {
  const { inputs, weight, bias } = parts;
  const x = builder.input("x", inputs, weight.columns);
  const out: Buffer = { name: "out", width: weight.rows, rows: "tokens" };
  const biasWeight = bias === undefined ? undefined : builder.vector("bias", bias);
  builder.test({ kind: "linear", x, weight, bias: biasWeight, out });
  const facts = { kernel: kernel.kernel, bound: kernel.bound, steps: statelessSteps() };
  if (kernel.rounding === undefined) return builder.finish(out, facts);
  return builder.finish(out, { ...facts, model: modelOf(parts, kernel.rounding) });
}

/** Rounded activations times stored weights, summed in f64. */
function modelOf({ inputs, weight, bias, stored }: Parts, rounding: Rounding): CaseModel {
  const { rows, columns } = weight;
  const logits = (step: CaseStep) => {
    const all = new Float32Array(step.outputs.length * rows);
    step.outputs.forEach((row, r) => {
      const token = step.tokens[row];
      const x = rounding(inputs.subarray(token * columns, (token + 1) * columns));
      const out = all.subarray(r * rows, (r + 1) * rows);
      linear(out, x, stored, bias, 1, columns, rows, { first: 0, end: rows });
    });
    return all;
  };
  return { logits, bound: MODEL_BOUND };
}

/** `values` encoded and decoded again. */
function keptBy(format: WeightFormat, values: Float32Array): Float32Array {
  if (format.encode === undefined) throw new Error(`linear cases: ${format.name} has no encoder`);
  const bytes = new Uint8Array(formatBytes(format, values.length));
  format.encode(values, bytes);
  return decoded(format, bytes, values.length);
}

function decoded(format: WeightFormat, bytes: Uint8Array, count: number): Float32Array {
  const values = new Float32Array(count);
  format.decode(bytes, values);
  return values;
}
