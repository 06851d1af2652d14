/**
 * Which buffer holds the gradient of which value while the backward pass is written down. A residual
 * connection hands one gradient buffer to two values; before an op adds to a buffer that another value still
 * needs, it is copied.
 * Invariant: a buffer that an op adds to belongs to exactly one value that is still to be processed.
 */
import type { Buffer } from "./program.ts";
import type { TrainingOp } from "./training-ops.ts";

export class GradientTable {
  readonly #ops: TrainingOp[];
  readonly #byValue = new Map<string, Buffer>();
  /** Values that still need a gradient buffer, by the buffer's name. */
  readonly #owners = new Map<string, number>();
  #made = 0;

  /** `ops` is where copies are emitted. */
  constructor(ops: TrainingOp[]) {
    this.#ops = ops;
  }

  get(value: Buffer): Buffer | undefined {
    return this.#byValue.get(value.name);
  }

  /** The op that makes `value` has been processed. */
  release(value: Buffer): void {
    const buffer = this.#byValue.get(value.name);
    if (buffer === undefined) return;
    this.#byValue.delete(value.name);
    this.#owners.set(buffer.name, this.#ownersOf(buffer) - 1);
  }

  /** Adds a contribution that `emit` writes to a buffer, or adds to what it holds with `accumulate`. */
  contribute(value: Buffer, emit: (out: Buffer, accumulate: boolean) => void): void {
    const known = this.get(value);
    const out = known === undefined ? this.#own(value) : this.#unshared(value, known);
    emit(out, known !== undefined);
  }

  /** Adds a contribution by an op that can only write. */
  contributeFresh(value: Buffer, emit: (out: Buffer) => void): void {
    if (this.get(value) === undefined) {
      emit(this.#own(value));
      return;
    }
    const part = this.#make(value);
    emit(part);
    this.pass(value, part);
  }

  /** Adds `gradient` itself as a contribution. */
  pass(value: Buffer, gradient: Buffer): void {
    const known = this.get(value);
    if (known === undefined) {
      this.#set(value, gradient);
      return;
    }
    const out = this.#unshared(value, known);
    this.#ops.push({ kind: "add", a: out, b: gradient, out, factor: 1 });
  }

  #unshared(value: Buffer, known: Buffer): Buffer {
    if (this.#ownersOf(known) === 1) return known;
    this.release(value);
    const copy = this.#own(value);
    this.#ops.push({ kind: "scale", x: known, out: copy, factor: 1 });
    return copy;
  }

  #own(value: Buffer): Buffer {
    const buffer = this.#make(value);
    this.#set(value, buffer);
    return buffer;
  }

  #make(value: Buffer): Buffer {
    return { ...value, name: `d${this.#made++}.${value.name}` };
  }

  #set(value: Buffer, buffer: Buffer): void {
    this.#byValue.set(value.name, buffer);
    this.#owners.set(buffer.name, this.#ownersOf(buffer) + 1);
  }

  #ownersOf(buffer: Buffer): number {
    return this.#owners.get(buffer.name) ?? 0;
  }
}
