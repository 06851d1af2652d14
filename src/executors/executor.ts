/**
 * The contract all executors keep: `reference` (readable oracle) and `wasm` (the fast path) today.
 * A step runs the whole program for T tokens that may belong to several sequences; prefill and
 * decode differ only in T.
 */
import type { SimdBuild } from "../platform/simd-variants.ts";
import type { Phase, ReadBytes } from "../program/accounting.ts";
import type { CacheCounts, CacheSettings } from "../methods/dynamic-input-pruning/cached-columns.ts";
import type { ColumnStore, FetchCounts } from "./column-store.ts";
import type { Interval } from "../program/intervals.ts";
import type { KeyValueFormat } from "../program/key-value-format.ts";
import type { Program } from "../program/program.ts";
import type { WeightStorage } from "../program/weight-storage.ts";

/** T tokens to process together. All arrays but `outputs` have length T. */
export interface Step {
  readonly tokens: Int32Array;
  /**
   * Position of each token in its sequence; keys and values before
   * it must have been stored by earlier rows or steps.
   */
  readonly positions: Int32Array;
  /** Sequence slot of each token. */
  readonly slots: Int32Array;
  /** Ascending row indices (0..T-1) whose logits are wanted. */
  readonly outputs: Int32Array;
  /**
   * Set for the tokens of a prompt. Methods that skip columns skip them for generated tokens only: a step of
   * one token without this mark. Programs without such ops compute the same either way.
   */
  readonly prompt?: boolean;
  /**
   * Positions that attention of each row sees, ascending, the row's own included and none after it;
   * an undefined row, and every row of a step without, sees all up to itself. Sliding windows
   * narrow this further.
   */
  readonly visible?: readonly (readonly Interval[] | undefined)[] | undefined;
}

/** Sizes that are fixed when an executor is made. */
export interface ExecutorLimits {
  /** Positions per slot. */
  readonly contextLength: number;
  /** Sequences that can be alive at once. */
  readonly slots: number;
  /** Most tokens one step may carry. */
  readonly stepTokens: number;
}

export const EXECUTORS = ["wasm", "reference"] as const;
export type ExecutorName = (typeof EXECUTORS)[number];

export interface Executor {
  readonly name: ExecutorName;
  readonly program: Program;
  readonly limits: ExecutorLimits;
  /** Bytes held for weights in kernel memory. */
  readonly weightBytes: number;
  /** Bytes held for keys and values. */
  readonly keyValueBytes: number;
  /**
   * Runs one step. Resolves to logits [outputs.length, V]; the array is a view that the next step
   * overwrites. Rejects with the signal's reason when aborted (the step's positions are then undefined
   * and must be written again before they are attended to), with OptionError when a token, position or
   * slot is out of range.
   */
  step(step: Step, signal?: AbortSignal): Promise<Float32Array>;
  /** Bytes one token reads when `attended` positions are visible: a generated token, or one of a prompt. */
  readBytes(attended: number, phase?: Phase): ReadBytes;
  /** What was read from a column store since the executor was made; undefined without one. */
  fetchCounts?(): FetchCounts | undefined;
  /** What found the caches of `columnCache` since the executor was made; undefined without them. */
  cacheCounts?(): CacheCounts | undefined;
  /** Frees workers and memory; idempotent. */
  dispose(): Promise<void>;
}

export interface ExecutorOptions {
  readonly threads: number;
  readonly limits: ExecutorLimits;
  /** Storage of keys and values. */
  readonly keyValueFormat: KeyValueFormat;
  /** Storage of weights in kernel memory: as near to the file's format as kernels exist, or forced. */
  readonly weightFormat: WeightStorage;
  /** Kernel build: probe for relaxed SIMD, or force one (tests). */
  readonly simd: SimdBuild;
  /** Columns that stay in a file and are brought on demand, for models larger than the memory. */
  readonly columnStore?: ColumnStore | undefined;
  /** Caches that choices of columns prefer, with all columns in memory (DIP-CA); one sequence at a time. */
  readonly columnCache?: CacheSettings | undefined;
  readonly onProgress: ((loadedBytes: number, totalBytes: number) => void) | undefined;
}
