/**
 * Writes the column file of a model: each feed-forward matrix turned from rows to columns and from its own format to
 * signed bytes with one scale per column. One op at a time is in memory.
 * Invariant: the bytes equal those that kernels/linear-columns/pack-columns.as.ts makes of the same weights, so that a model
 * gives the same tokens from the file as from memory.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { COLUMN_UNIT_ROWS } from "../kernels/layout.ts";
import { freeRecipe } from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { readDecodedRows } from "../models/decoded-rows.ts";
import type { ByteSink } from "../platform/types.ts";
import type { Program, Weight } from "../program/program.ts";
import { modelDigest, planColumnFile } from "./column-file.ts";

export interface ColumnWriterOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((writtenBytes: number, totalBytes: number) => void) | undefined;
}

/** Rows decoded at a time: a cache line of each column. */
const CHUNK_ROWS = 64;
/** Adding and subtracting it rounds a double to a whole number, ties to even, as the kernels do. */
const ROUNDER = 1.5 * 2 ** 52;

/**
 * The matrices that a column file of this program holds, op by op: gate with up, and down, of each layer. A program whose
 * columns a recipe chooses already has such ops, and perhaps others.
 */
export function fileOps(program: Program): readonly (readonly Weight[])[] {
  const chosen = columnOps(program);
  return chosen.length > 0 ? chosen : columnOps(rewriteColumns(program, freeRecipe(1, 1)));
}

function columnOps({ ops }: Program): readonly (readonly Weight[])[] {
  return ops.flatMap((op) => (op.kind === "linearColumns" ? [op.parts.map(({ weight }) => weight)] : []));
}

/**
 * Writes and finishes `sink`; returns the file's size. UnsupportedError without a gated feed-forward, FormatError for
 * weights that are not numbers; the sink is the caller's to abort.
 */
export async function writeColumnFile(
  model: ModelFile,
  program: Program,
  sink: ByteSink,
  { signal, onProgress }: ColumnWriterOptions = {},
): Promise<number> {
  const ops = fileOps(program);
  for (const { tensor } of ops.flat()) {
    if (model.tensors.get(tensor)?.format.codes === true) {
      throw new UnsupportedError(
        `${model.name}: tensor ${tensor} holds integer codes, expected weights - use the checkpoint it was made from`,
      );
    }
  }
  const plan = planColumnFile(await modelDigest(model, ops.flat()), ops);
  let written = 0;
  const write = async (bytes: Uint8Array) => {
    await sink.write(bytes);
    written += bytes.length;
    onProgress?.(written, plan.bytes);
  };
  await write(plan.header);
  for (const [i, weights] of ops.entries()) {
    const { columns, stride, offset } = plan.ops[i];
    const data = new Uint8Array(columns * stride);
    const scales = new Float32Array(weights.length * columns);
    for (const [part, weight] of weights.entries()) {
      const partScales = scales.subarray(part * columns, (part + 1) * columns);
      await packPart(model, weight, { data, stride, part, scales: partScales }, signal);
    }
    const next = i + 1 < ops.length ? plan.ops[i + 1].offset : plan.bytes;
    await write(data);
    await write(new Uint8Array(scales.buffer));
    await write(new Uint8Array(next - offset - data.length - scales.byteLength));
  }
  await sink.finish();
  return plan.bytes;
}

interface PartTarget {
  /** Columns of all parts [columns][stride]. */
  readonly data: Uint8Array;
  readonly stride: number;
  readonly part: number;
  /** [columns], written here. */
  readonly scales: Float32Array;
}

async function packPart(
  model: ModelFile,
  weight: Weight,
  { data, stride, part, scales }: PartTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { rows, columns } = weight;
  const largest = scales.fill(0);
  for await (const { values, count } of decodedChunks(model, weight, signal))
    raiseMaxima(values, count, largest);
  const inverses = Float32Array.from(largest, (most) => (most === 0 ? 0 : 127 / most));
  if (!inverses.every((inverse, column) => Number.isFinite(inverse) && Number.isFinite(largest[column]))) {
    throw new FormatError(
      `${model.name}: tensor ${weight.tensor} holds values that are not finite or too small`,
    );
  }
  let column0 = part * COLUMN_UNIT_ROWS * Math.ceil(rows / COLUMN_UNIT_ROWS);
  for await (const { values, count } of decodedChunks(model, weight, signal)) {
    for (let column = 0; column < columns; column++) {
      const at = column * stride + column0;
      const inverse = inverses[column];
      const code = (row: number) =>
        row < count ? Math.fround(values[row * columns + column] * inverse) + ROUNDER - ROUNDER : 0;
      for (let row = 0; row < count; row += 2) {
        const pair = 256 * code(row + 1) + code(row);
        data[at + row] = pair;
        data[at + row + 1] = pair >> 8;
      }
    }
    column0 += count;
  }
  for (let column = 0; column < columns; column++) scales[column] = largest[column] / 127;
}

function raiseMaxima(values: Float32Array, rows: number, largest: Float32Array): void {
  const columns = largest.length;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const magnitude = Math.abs(values[row * columns + column]);
      // Written so that a value that is not a number stays and is found afterwards.
      if (!(magnitude <= largest[column])) largest[column] = magnitude;
    }
  }
}

async function* decodedChunks(
  model: ModelFile,
  { tensor: name, firstRow, rows, columns }: Weight,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ values: Float32Array; count: number }> {
  const tensor = model.tensors.get(name);
  if (tensor === undefined) throw new Error(`column writer: program names unknown tensor ${name}`);
  const values = new Float32Array(CHUNK_ROWS * columns);
  for (let row = 0; row < rows; row += CHUNK_ROWS) {
    signal?.throwIfAborted();
    const count = Math.min(CHUNK_ROWS, rows - row);
    await readDecodedRows(model, tensor, firstRow + row, count, values.subarray(0, count * columns));
    yield { values, count };
  }
}
