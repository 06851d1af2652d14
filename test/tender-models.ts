/**
 * Makes Tender checkpoints for tests: calibrates on tokens with the reference executor, compresses, and plants outlier
 * channels that leave the float model's function unchanged.
 */
import type { ExecutorOptions, Step } from "../src/executors/executor.ts";
import { createReferenceExecutor } from "../src/executors/reference/reference-executor.ts";
import type { ModelFile } from "../src/formats/model-file.ts";
import { type ComputedTensor, overlayFile, vectorTensor } from "../src/formats/overlay-file.ts";
import { calibrate, observeInputs } from "../src/methods/tender/calibration.ts";
import { compressTender, type TenderOptions, type TenderResult } from "../src/methods/tender/compress.ts";
import { readDecodedRows } from "../src/models/decoded-rows.ts";
import type { LinearOp, Program, RmsNormOp } from "../src/program/program.ts";
import { f32 } from "../src/quantization/f32.ts";

export function executorOptions(contextLength: number, stepTokens = contextLength): ExecutorOptions {
  return {
    threads: 1,
    limits: { contextLength, slots: 1, stepTokens },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  };
}

/** Consecutive tokens of slot 0 from a position; logits of every row. */
export function stepOf(tokens: readonly number[], first = 0): Step {
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(tokens, (_, row) => first + row),
    slots: new Int32Array(tokens.length),
    outputs: Int32Array.from(tokens.keys()),
  };
}

export const W8A8: Omit<TenderOptions, "calibration"> = {
  activationBits: 8,
  weightBits: 8,
  groups: 8,
  chunkRows: undefined,
  rounding: "up",
  channelBias: true,
  headBits: 8,
};

/** Calibrates on the segments and compresses. */
export async function makeTender(
  file: ModelFile,
  program: Program,
  segments: readonly (readonly number[])[],
  options: Partial<TenderOptions> = {},
): Promise<TenderResult> {
  const observed = observeInputs(program, options.attention);
  const longest = Math.max(...segments.map((segment) => segment.length));
  const executor = await createReferenceExecutor(observed.program, file, executorOptions(longest));
  const calibration = await calibrate(executor, [...observed.inputs, ...observed.operands], {
    segments: segments.map((tokens) => ({ tokens })),
    chunkRows: options.chunkRows,
  });
  await executor.dispose();
  return compressTender(file, program, observed.inputs, calibration, {
    ...W8A8,
    calibration: null,
    ...options,
  });
}

/** All logits of one step from position 0. */
export async function referenceLogits(
  program: Program,
  file: ModelFile,
  tokens: readonly number[],
): Promise<Float32Array> {
  const executor = await createReferenceExecutor(program, file, executorOptions(tokens.length));
  const logits = (await executor.step(stepOf(tokens))).slice();
  await executor.dispose();
  return logits;
}

/** Mean of -ln p(next token) over a teacher-forced text. */
export function meanNll(logits: Float32Array, tokens: readonly number[], vocabulary: number): number {
  let nll = 0;
  for (let t = 0; t + 1 < tokens.length; t++) {
    const row = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
    const largest = row.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
    nll += largest + Math.log(sum) - row[tokens[t + 1]];
  }
  return nll / (tokens.length - 1);
}

/**
 * Multiplies some channels of every layer norm by `factor` and divides the columns that read them: the same function in
 * exact arithmetic (in f32 too, for powers of two), with activations that have outlier channels.
 */
export async function plantOutliers(
  file: ModelFile,
  program: Program,
  channels: readonly number[],
  factor: number,
): Promise<ModelFile> {
  const tensors: ComputedTensor[] = [];
  const norms = program.ops.filter(
    (op): op is RmsNormOp => op.kind === "rmsNorm" && op.out.name === "normed",
  );
  for (const norm of norms) {
    const values = await readAll(file, norm.weight.tensor);
    for (const channel of channels) values[channel] *= factor;
    tensors.push(vectorTensor(norm.weight.tensor, f32, values));
  }
  const readers = program.ops.filter((op): op is LinearOp => op.kind === "linear" && op.x.name === "normed");
  for (const { weight } of readers) {
    const values = await readAll(file, weight.tensor);
    for (let row = 0; row < weight.rows; row++) {
      for (const channel of channels) values[row * weight.columns + channel] /= factor;
    }
    tensors.push({
      name: weight.tensor,
      shape: [weight.rows, weight.columns],
      format: f32,
      values: (first, count) => values.slice(first * weight.columns, (first + count) * weight.columns),
    });
  }
  return overlayFile(file, tensors, undefined);
}

async function readAll(file: ModelFile, name: string): Promise<Float32Array> {
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`no tensor ${name}`);
  const count = info.shape.reduce((product, size) => product * size, 1);
  const values = new Float32Array(count);
  await readDecodedRows(file, info, 0, count / info.shape[info.shape.length - 1], values);
  return values;
}
