/**
 * Where micro-batches come from, and the plain-text kind: windows of a token stream in an order and from an
 * offset that change with every epoch. Sources keep no position; a cursor says where training stands, so a
 * resumed run sees what an uninterrupted one would have seen.
 * Invariant: seed, epoch and index determine a batch.
 */
import { FormatError } from "../errors.ts";
import type { TrainingBatch } from "../executors/training/training-executor.ts";
import type { Interval } from "../program/intervals.ts";
import { RandomSource } from "../session/random.ts";

export interface BatchSource {
  /** Micro-batches of an epoch, at least 1. */
  count(epoch: number): number;
  batch(epoch: number, index: number): TrainingBatch;
  /** Changes when the data do; a checkpoint resumes only on the same. */
  readonly fingerprint: string;
}

export interface Cursor {
  readonly epoch: number;
  readonly index: number;
}

export function advance(source: BatchSource, { epoch, index }: Cursor): Cursor {
  return index + 1 < source.count(epoch) ? { epoch, index: index + 1 } : { epoch: epoch + 1, index: 0 };
}

export interface BatchShape {
  /** Sequences per micro-batch. */
  readonly sequences: number;
  /** Tokens per sequence. */
  readonly length: number;
}

export class TextBatches implements BatchSource {
  readonly fingerprint: string;
  readonly #tokens: Int32Array;
  readonly #shape: BatchShape;
  readonly #seed: number;
  readonly #windows: number;
  #order: { epoch: number; windows: Int32Array; offset: number } | undefined;

  /** Throws FormatError when the text is shorter than one window. */
  constructor(name: string, tokens: Int32Array, shape: BatchShape, seed: number) {
    // One window less than fit, so that every offset below a window's length leaves the same number.
    this.#windows = Math.max(Math.floor((tokens.length - 1) / shape.length) - 1, 0);
    if (this.#windows < 1) {
      throw new FormatError(
        `${name}: has ${tokens.length} tokens, expected at least ${2 * shape.length + 1} for windows of ${shape.length} - use more text or a shorter context`,
      );
    }
    this.#tokens = tokens;
    this.#shape = shape;
    this.#seed = seed;
    this.fingerprint = `text ${hashTokens(tokens)} ${shape.sequences}x${shape.length} seed ${seed}`;
  }

  count(): number {
    return Math.max(1, Math.floor(this.#windows / this.#shape.sequences));
  }

  batch(epoch: number, index: number): TrainingBatch {
    if (this.#order?.epoch !== epoch) {
      const random = new RandomSource(epochSeed(this.#seed, epoch));
      const offset = random.nextUint32() % this.#shape.length;
      this.#order = { epoch, offset, windows: shuffled(this.#windows, random) };
    }
    const { windows, offset } = this.#order;
    const { sequences, length } = this.#shape;
    const picked = windows.subarray(index * sequences, Math.min((index + 1) * sequences, windows.length));
    return packSequences(
      [...picked].map((window) => {
        const start = offset + window * length;
        return { tokens: this.#tokens.subarray(start, start + length + 1), firstTarget: 1 };
      }),
    );
  }
}

/** All of a text in order, the last window shorter: what validation scores. At most `mostTokens` of it. */
export function validationBatches(
  tokens: Int32Array,
  { sequences, length }: BatchShape,
  mostTokens: number,
): TrainingBatch[] {
  const end = Math.min(tokens.length - 1, mostTokens);
  const batches: TrainingBatch[] = [];
  for (let start = 0; start < end; start += sequences * length) {
    const parts = [];
    for (let at = start; at < Math.min(end, start + sequences * length); at += length) {
      parts.push({ tokens: tokens.subarray(at, Math.min(at + length, end) + 1), firstTarget: 1 });
    }
    batches.push(packSequences(parts));
  }
  return batches;
}

/** Tokens of one sequence; those from `firstTarget` on are predicted. The last one is only a target. */
export interface Sequence {
  readonly tokens: Int32Array;
  readonly firstTarget: number;
  /**
   * What each row sees where attention is masked; made when a batch is packed,
   * it is much larger than the tokens.
   */
  readonly visible?: () => readonly (readonly Interval[] | undefined)[];
}

/** Lays sequences end to end. */
export function packSequences(sequences: readonly Sequence[]): TrainingBatch {
  const rows = sequences.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
  const tokens = new Int32Array(rows);
  const positions = new Int32Array(rows);
  const bounds = new Int32Array(sequences.length + 1);
  const outputs: number[] = [];
  const targets: number[] = [];
  let start = 0;
  sequences.forEach((sequence, i) => {
    const length = sequence.tokens.length - 1;
    tokens.set(sequence.tokens.subarray(0, length), start);
    for (let t = 0; t < length; t++) {
      positions[start + t] = t;
      if (t + 1 < sequence.firstTarget) continue;
      outputs.push(start + t);
      targets.push(sequence.tokens[t + 1]);
    }
    start += length;
    bounds[i + 1] = start;
  });
  const visible = sequences.some((sequence) => sequence.visible !== undefined)
    ? sequences.flatMap(
        (sequence) => sequence.visible?.() ?? Array.from(sequence.tokens.subarray(1), () => undefined),
      )
    : undefined;
  return {
    tokens,
    positions,
    bounds,
    outputs: Int32Array.from(outputs),
    targets: Int32Array.from(targets),
    visible,
  };
}

/** 0 to count - 1 in random order. */
export function shuffled(count: number, random: RandomSource): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  shuffle(order, random);
  return order;
}

/** Brings the values into random order (Fisher and Yates). */
export function shuffle(values: Int32Array | Uint32Array, random: RandomSource): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(random.nextUnit() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]];
  }
}

export function epochSeed(seed: number, epoch: number): number {
  return (Math.imul(epoch + 1, 0x9e3779b9) ^ seed) >>> 0;
}

/** FNV-1a over the ids, with the count. */
export function hashTokens(tokens: Int32Array): string {
  let hash = 0x811c9dc5;
  for (const token of tokens) hash = Math.imul(hash ^ token, 0x01000193);
  return `${tokens.length}:${(hash >>> 0).toString(16)}`;
}
