/**
 * The words of a training tape: addresses of buffers and weights, extents, and the two instructions
 * every matrix product is made of. Every instruction is followed by a barrier: they take milliseconds,
 * barriers microseconds.
 */
import * as layout from "../../kernels/layout.ts";
import * as training from "../../kernels/training-layout.ts";
import type { Buffer, Weight } from "../../program/program.ts";
import type { AttentionFacts } from "../../program/training-ops.ts";
import { floatWord } from "../wasm/tape-codes.ts";
import { type PlacedParameter, type TrainingMemory, weightOffset } from "./training-memory.ts";

/** C (+)= A B, as kernels/matrix/multiply.as.ts has it. */
export interface Product {
  /** Extents of C's rows and of the reduction. */
  readonly rows: readonly number[];
  readonly steps: readonly number[];
  readonly columns: number;
  /** Address and row stride; transposed when the reduction runs over its rows. */
  readonly a: readonly number[];
  readonly aTransposed: boolean;
  readonly b: readonly number[];
  readonly bTransposed: boolean;
  readonly c: readonly number[];
  readonly accumulate: boolean;
  /** C may be written up to whole tiles. */
  readonly padded: boolean;
}

export class TapeWords {
  readonly memory: TrainingMemory;
  readonly #words: number[] = [];

  constructor(memory: TrainingMemory) {
    this.memory = memory;
  }

  /** Appends an instruction and a barrier. */
  emit(opcode: number, words: readonly number[]): void {
    this.#words.push(opcode, words.length + 2, ...words, layout.OP_BARRIER, 2);
  }

  finish(): Uint32Array<ArrayBuffer> {
    this.#words.push(layout.OP_END, 2);
    return new Uint32Array(this.#words);
  }

  multiply(product: Product): void {
    const { rows, steps, columns, a, b, c } = product;
    const flag = (value: boolean) => (value ? 1 : 0);
    const { packed } = this.memory;
    this.emit(training.OP_PACK_COLUMNS, [...steps, columns, ...b, flag(product.bTransposed), packed]);
    this.emit(training.OP_MULTIPLY, [
      ...rows,
      ...steps,
      columns,
      ...a,
      flag(product.aTransposed),
      packed,
      ...c,
      flag(product.accumulate),
      flag(product.padded),
      ...this.scratch(),
    ]);
  }

  /** Address and stride of buffers, one after the other. */
  places(...buffers: readonly Buffer[]): number[] {
    return buffers.flatMap((buffer) => {
      const placed = this.memory.buffers.get(buffer.name);
      if (placed === undefined) throw new Error(`training tape: buffer ${buffer.name} has no place`);
      return [placed.address, placed.stride];
    });
  }

  parameter(tensor: string): PlacedParameter {
    const placed = this.memory.parameters.get(tensor);
    if (placed === undefined) throw new Error(`training tape: no parameter ${tensor}`);
    return placed;
  }

  /** Address of a weight's values. */
  value(weight: Weight): number {
    return this.parameter(weight.tensor).weights + 4 * weightOffset(weight);
  }

  /** Address of a weight's gradient. */
  gradient(weight: Weight): number {
    const { gradients } = this.parameter(weight.tensor);
    if (gradients === undefined) throw new Error(`training tape: ${weight.tensor} is not trainable`);
    return gradients + 4 * weightOffset(weight);
  }

  attention({ heads, kvHeads, headWidth, scale, window }: AttentionFacts): number[] {
    const { bounds, maskPlaces, scalars } = this.memory;
    const sequences = [bounds, maskPlaces, scalars];
    return [heads, kvHeads, headWidth, floatWord(scale), window ?? 0, ...sequences, ...this.scratch()];
  }

  scratch(): number[] {
    return [this.memory.scratch, this.memory.scratchStride];
  }
}

/** The extent that a buffer's rows have. */
export function rowsOf(buffer: Buffer): readonly number[] {
  return [buffer.rows === "tokens" ? training.EXTENT_TOKENS : training.EXTENT_OUTPUTS, 0];
}

export function fixed(count: number): readonly number[] {
  return [training.EXTENT_FIXED, count];
}
