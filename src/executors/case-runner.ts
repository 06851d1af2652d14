/**
 * Runs a row of the case table on an executor and compares it, step by step, with the reference executor
 * and with the kernel's own arithmetic where the row spells it out. Free of any test framework: tests
 * assert on the result.
 */
import type { ModelFile, TensorInfo } from "../formats/model-file.ts";
import type { KernelCase, KernelNames } from "../kernels/kernel-case.ts";
import type { Program } from "../program/program.ts";
import { formatBytes } from "../quantization/weight-format.ts";
import type { Executor, ExecutorLimits, ExecutorOptions } from "./executor.ts";
import { createReferenceExecutor } from "./reference/reference-executor.ts";

/** Tokens a step may carry beyond the row's longest: room in which a write too far can be seen. */
const SPARE_TOKENS = 9;

/** An executor that says which kernel runs each op of its program. */
export interface CaseSubject extends Executor {
  readonly kernels: Readonly<Record<keyof KernelNames, readonly string[]>>;
}

export type CaseSubjectFactory = (
  program: Program,
  file: ModelFile,
  options: Omit<ExecutorOptions, "threads" | "simd">,
) => Promise<CaseSubject>;

export interface CaseResult {
  /** Largest relative error against the reference executor; Infinity where a result is not a number. */
  readonly error: number;
  /** The same against the row's model of the kernel, where it has one. */
  readonly modelError: number | undefined;
  /** Kernels that ran the op under test. */
  readonly kernel: KernelNames;
  /** Logits of every step, for comparing executors bit by bit. */
  readonly logits: readonly Float32Array[];
  /** One line per broken promise; empty when the row holds. */
  readonly failures: readonly string[];
}

export interface CaseHooks {
  /** Called when the executor is ready, and after every step with its index. */
  readonly onReady?: (subject: CaseSubject) => void;
  readonly onStep?: (index: number) => void;
}

/** Runs all steps of a row; the executors are disposed of in any case. */
export async function runCase(
  kernelCase: KernelCase,
  create: CaseSubjectFactory,
  hooks: CaseHooks = {},
): Promise<CaseResult> {
  const { program, keyValueFormat, weightFormat, op } = kernelCase;
  const file = caseFile(kernelCase);
  const options = { limits: caseLimits(kernelCase), keyValueFormat, weightFormat, onProgress: undefined };
  const reference = await createReferenceExecutor(program, file, { ...options, threads: 1, simd: "auto" });
  const subject = await create(program, file, options);
  try {
    hooks.onReady?.(subject);
    const kernel = { decode: subject.kernels.decode[op], batch: subject.kernels.batch[op] };
    return { ...(await compareSteps(kernelCase, subject, reference, hooks)), kernel } satisfies CaseResult;
  } finally {
    await subject.dispose();
    await reference.dispose();
  }
}

/** Sizes an executor of the row is made with. */
export function caseLimits(kernelCase: KernelCase): ExecutorLimits {
  return {
    contextLength: kernelCase.program.contextLength,
    slots: kernelCase.slots,
    stepTokens: Math.max(...kernelCase.steps.map((step) => step.tokens.length)) + SPARE_TOKENS,
  };
}

/** The row's tensors as a model file. */
export function caseFile(kernelCase: KernelCase): ModelFile {
  const entries = [...kernelCase.tensors];
  const tensors = new Map<string, TensorInfo>(
    entries.map(([name, { shape, format, bytes }]) => [name, { name, shape, format, bytes: bytes.length }]),
  );
  return {
    container: "gguf",
    name: kernelCase.name,
    architecture: "case",
    metadata: new Map(),
    tensors,
    tensorBytes: entries.reduce((sum, [, tensor]) => sum + tensor.bytes.length, 0),
    async readRows(name, firstRow, rowCount, target) {
      const tensor = kernelCase.tensors.get(name);
      if (tensor === undefined) throw new Error(`case ${kernelCase.name}: no tensor ${name}`);
      const rowBytes = formatBytes(tensor.format, tensor.shape[tensor.shape.length - 1]);
      target.set(tensor.bytes.subarray(firstRow * rowBytes, (firstRow + rowCount) * rowBytes));
    },
    async close() {},
  };
}

async function compareSteps(
  kernelCase: KernelCase,
  subject: CaseSubject,
  reference: Executor,
  hooks: CaseHooks,
): Promise<Omit<CaseResult, "kernel">> {
  const { steps, model, bound, kernel, op } = kernelCase;
  const width = kernelCase.program.vocabularySize;
  const logits: Float32Array[] = [];
  const failures: string[] = [];
  let error = 0;
  let modelError = model === undefined ? undefined : 0;
  for (const [index, step] of steps.entries()) {
    const got = (await subject.step(step)).slice();
    hooks.onStep?.(index);
    logits.push(got);
    const stepError = relativeError(got, await reference.step(step), width);
    error = Math.max(error, stepError);
    if (stepError > bound) failures.push(`step ${index}: error ${stepError}, expected at most ${bound}`);
    if (model === undefined) continue;
    const stepModelError = relativeError(got, model.logits(step), width);
    modelError = Math.max(modelError ?? 0, stepModelError);
    if (stepModelError > model.bound) {
      failures.push(`step ${index}: error ${stepModelError} of its own arithmetic, expected ${model.bound}`);
    }
  }
  for (const mode of ["decode", "batch"] as const) {
    const ran = subject.kernels[mode][op];
    if (ran !== kernel[mode]) failures.push(`${mode}: expected kernel ${kernel[mode]}, got ${ran}`);
  }
  return { error, modelError, logits, failures };
}

/**
 * Largest |got - expected| / largest |expected| of its row, over rows of `width`; zeros must be met exactly.
 */
export function relativeError(got: Float32Array, expected: Float32Array, width: number): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let start = 0; start < got.length; start += width) {
    let [largest, difference] = [0, 0];
    for (let i = start; i < start + width; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      difference = Math.max(difference, Math.abs(got[i] - expected[i]));
    }
    const error = difference === 0 ? 0 : difference / largest;
    worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
  }
  return worst;
}
