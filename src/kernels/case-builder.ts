/**
 * Puts the rows of the case table together. Inputs reach the op under test through an embedding: the rows of
 * an f32 table are the inputs and the tokens choose among them.
 * Invariant: names and shapes determine every value, so that executors can be compared run by run.
 */
import { normalValues } from "../models/synthetic/random.ts";
import type { KeyValueFormat } from "../program/key-value-format.ts";
import type { Buffer, Op, Program, Weight } from "../program/program.ts";
import { f32 } from "../quantization/f32.ts";
import { formatBytes, type WeightFormat } from "../quantization/weight-format.ts";
import type { CaseModel, CaseStep, CaseTensor, KernelCase, KernelNames } from "./kernel-case.ts";

/** Inputs of most rows: see `inputRows`. */
export const INPUT_COUNT = 8;

export interface CaseFacts {
  readonly kernel: KernelNames;
  readonly bound: number;
  readonly steps: readonly CaseStep[];
  readonly slots?: number;
  readonly keyValueFormat?: KeyValueFormat;
  readonly weightFormat?: KernelCase["weightFormat"];
  readonly model?: CaseModel;
}

export class CaseBuilder {
  readonly #name: string;
  readonly #ops: Op[] = [];
  readonly #tensors = new Map<string, CaseTensor>();
  #tested = -1;

  constructor(name: string) {
    this.#name = name;
  }

  /** f32 values of standard deviation 1 (or as given) that depend on the case and `stream` only. */
  random(stream: string, count: number, deviation = 1): Float32Array {
    return normalValues(1, `${this.#name}/${stream}`, count, 0, deviation);
  }

  /** A matrix of the file, `values` encoded in `format`. */
  matrix(name: string, rows: number, columns: number, format: WeightFormat, values: Float32Array): Weight {
    return this.storedMatrix(name, rows, columns, format, encode(format, values));
  }

  /** A matrix of the file whose bytes are given. */
  storedMatrix(name: string, rows: number, columns: number, format: WeightFormat, bytes: Uint8Array): Weight {
    this.#tensors.set(name, { shape: [rows, columns], format, bytes });
    return { name, rows, columns, tensor: name, firstRow: 0 };
  }

  /** An f32 vector of the file. */
  vector(name: string, values: Float32Array): Weight {
    this.#tensors.set(name, { shape: [values.length], format: f32, bytes: encode(f32, values) });
    return { name, rows: 1, columns: values.length, tensor: name, firstRow: 0 };
  }

  /**
   * Values [INPUT_COUNT, width] as the function `inputRows` makes them,
   * from random streams named with `prefix`.
   */
  inputRows(
    width: number,
    { prefix = "", smallest }: { readonly prefix?: string; readonly smallest?: number } = {},
  ): Float32Array {
    return inputRows((stream, count) => this.random(prefix + stream, count), width, smallest);
  }

  /** A buffer [T, width] that holds row `token` of values [n, width]. */
  input(name: string, values: Float32Array, width: number): Buffer {
    const table = this.matrix(`${name}.table`, values.length / width, width, f32, values);
    const out = tokenBuffer(name, width);
    this.push({ kind: "embed", table, out, factor: 1 });
    return out;
  }

  push(op: Op): void {
    this.#ops.push(op);
  }

  /** Appends the op that the row is about. */
  test(op: Op): void {
    this.#tested = this.#ops.length;
    this.push(op);
  }

  /** The finished row with `result` as logits. */
  finish(result: Buffer, facts: CaseFacts): KernelCase {
    const logits = result.rows === "outputs" ? result : this.#select(result);
    const positions = facts.steps.flatMap((step) => [...step.positions]);
    const program: Program = {
      name: this.#name,
      ops: this.#ops,
      logits,
      vocabularySize: logits.width,
      contextLength: Math.max(...positions) + 1,
    };
    return {
      slots: 1,
      keyValueFormat: "f32",
      weightFormat: "auto",
      model: undefined,
      ...facts,
      name: this.#name,
      program,
      tensors: this.#tensors,
      op: this.#tested,
    };
  }

  #select(x: Buffer): Buffer {
    const out: Buffer = { name: "selected", width: x.width, rows: "outputs" };
    this.push({ kind: "selectOutputs", x, out });
    return out;
  }
}

/** A buffer with a row per token. */
export function tokenBuffer(name: string, width: number): Buffer {
  return { name, width, rows: "tokens" };
}

/**
 * INPUT_COUNT rows [n, width] of the kinds that break kernels: normal, all zeros, outliers a thousand times
 * the rest, `smallest` times normal, a single one, all of one magnitude with changing sign, and normal again.
 */
export function inputRows(
  random: (stream: string, count: number) => Float32Array,
  width: number,
  smallest = 1e-20,
): Float32Array {
  const values = random("inputs", INPUT_COUNT * width);
  for (let i = 0; i < width; i++) {
    values[width + i] = 0;
    if (i % 7 === 2) values[2 * width + i] *= 1000;
    values[3 * width + i] *= smallest;
    values[4 * width + i] = i === width >> 1 ? 1 : 0;
    values[5 * width + i] = i % 3 === 0 ? -2.5 : 2.5;
  }
  return values;
}

/**
 * Steps for ops without memory: every input alone, then batches with odd tails,
 * some of whose rows are not wanted.
 */
export function statelessSteps(inputs = INPUT_COUNT, positionOf = (row: number) => row): CaseStep[] {
  const batch = (count: number, outputs = Array.from({ length: count }, (_, row) => row)): CaseStep => ({
    tokens: Int32Array.from({ length: count }, (_, row) => (row * 3 + count) % inputs),
    positions: Int32Array.from({ length: count }, (_, row) => positionOf(row)),
    slots: new Int32Array(count),
    outputs: Int32Array.from(outputs),
  });
  const singles = Array.from({ length: inputs }, (_, token) => ({
    ...batch(1),
    tokens: Int32Array.of(token),
    positions: Int32Array.of(positionOf(token)),
  }));
  return [...singles, batch(2), batch(3), batch(5), batch(33), batch(5, [1, 4]), batch(6, [5]), batch(4, [])];
}

function encode(format: WeightFormat, values: Float32Array): Uint8Array {
  if (format.encode === undefined) throw new Error(`case builder: ${format.name} has no encoder`);
  const bytes = new Uint8Array(formatBytes(format, values.length));
  format.encode(values, bytes);
  return bytes;
}
