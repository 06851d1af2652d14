/**
 * What a row of the case table is: a program of a few ops around the kernel under test, the weights it runs
 * on, the steps to run, the kernel that must run and how far its result may be from the reference executor's.
 * Every kernel folder owes its rows in `cases.ts`; executors/case-runner.ts runs them on any executor.
 */
import type { Interval } from "../program/intervals.ts";
import type { KeyValueFormat } from "../program/key-value-format.ts";
import type { Program } from "../program/program.ts";
import type { WeightStorage } from "../program/weight-storage.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";

/** A tensor as it would lie in a model file. */
export interface CaseTensor {
  /** [rows, columns], or [length] of a vector. */
  readonly shape: readonly number[];
  readonly format: WeightFormat;
  readonly bytes: Uint8Array;
}

/** T tokens to run; the shape of an executor's step. */
export interface CaseStep {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly slots: Int32Array;
  readonly outputs: Int32Array;
  readonly visible?: readonly (readonly Interval[] | undefined)[];
}

/** Kernel names of one op, for steps of one token and of more. */
export interface KernelNames {
  readonly decode: string;
  readonly batch: string;
}

/**
 * The kernel's own arithmetic spelt out slowly: activations and weights rounded as it stores them, sums
 * exact. Lets a row hold a kernel that rounds on purpose to a bound far below that rounding.
 */
export interface CaseModel {
  /** [R, V] */
  readonly logits: (step: CaseStep) => Float32Array;
  readonly bound: number;
}

export interface KernelCase {
  readonly name: string;
  readonly program: Program;
  readonly tensors: ReadonlyMap<string, CaseTensor>;
  /** Run in order; what one step stores in a cache the later ones see. */
  readonly steps: readonly CaseStep[];
  /** Sequence slots the steps use. */
  readonly slots: number;
  readonly keyValueFormat: KeyValueFormat;
  readonly weightFormat: WeightStorage;
  /** Index of the op under test, and the kernel that must run it. */
  readonly op: number;
  readonly kernel: KernelNames;
  /**
   * Largest difference from the reference executor that is right, relative to the largest magnitude in the
   * same row of logits. A row of zeros must be met exactly.
   */
  readonly bound: number;
  readonly model: CaseModel | undefined;
}

/** The same kernel for one token and for many. */
export function oneKernel(name: string): KernelNames {
  return { decode: name, batch: name };
}
