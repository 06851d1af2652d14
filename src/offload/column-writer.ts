/**
 * Writes the column file of a model: each feed-forward matrix turned from rows to columns and from its own
 * format to codes of 8 or 4 bits with one scale per column. One op at a time is in memory.
 * Invariant: the bytes equal those that kernels/linear-columns/pack-columns.as.ts makes of the same weights,
 * so that a model gives the same tokens from the file as from memory.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ColumnStorage } from "../executors/column-store.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { columnPartBytes, STORED_COLUMNS, unitCount, unitPlaceQ4 } from "../executors/wasm/column-layout.ts";
import { Q4_COLUMN_UNIT_ROWS } from "../kernels/layout.ts";
import { freeRecipe } from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { readDecodedRows, storedTensor } from "../models/decoded-rows.ts";
import type { ByteSink } from "../platform/types.ts";
import { linearColumnsOps } from "../program/column-ops.ts";
import type { Program, Weight } from "../program/program.ts";
import { modelDigest, planColumnFile } from "./column-file.ts";

export interface ColumnWriterOptions {
  /** Default `q8`. */
  readonly storage?: ColumnStorage | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((writtenBytes: number, totalBytes: number) => void) | undefined;
}

/** Rows decoded at a time: a cache line of each column of 8 bits, a unit of 4-bit columns. */
const CHUNK_ROWS = Q4_COLUMN_UNIT_ROWS;
/** Rows of a 4-bit column that have a share of its scale; and the largest nibble times the largest share. */
const Q4_BLOCK_ROWS = 32;
const Q4_LIMIT = 7 * 255;
/** Rows whose nibbles are the low ones of a block's bytes. */
const HALF_BLOCK = Q4_BLOCK_ROWS / 2;
/**
 * Adding and subtracting it rounds a double to a whole number, ties to even,
 * and is quicker than roundHalfEven.
 */
const ROUNDER = 1.5 * 2 ** 52;

/**
 * The matrices that a column file of this program holds, op by op: gate with up, and down, of each layer. A
 * program whose columns a recipe chooses already has such ops, and perhaps others.
 */
export function fileOps(program: Program): readonly (readonly Weight[])[] {
  const chosen = linearColumnsOps(program);
  const ops = chosen.length > 0 ? chosen : linearColumnsOps(rewriteColumns(program, freeRecipe(1, 1)));
  return ops.map(({ parts }) => parts.map(({ weight }) => weight));
}

/**
 * Writes and finishes `sink`; returns the file's size. UnsupportedError without a gated feed-forward,
 * FormatError for weights that are not numbers; the sink is the caller's to abort.
 */
export async function writeColumnFile(
  model: ModelFile,
  program: Program,
  sink: ByteSink,
  { storage = "q8", signal, onProgress }: ColumnWriterOptions = {},
): Promise<number> {
  const ops = fileOps(program);
  for (const { tensor } of ops.flat()) {
    if (model.tensors.get(tensor)?.format.codes === true) {
      throw new UnsupportedError(
        `${model.name}: tensor ${tensor} holds integer codes, expected weights - use the checkpoint it was made from`,
      );
    }
  }
  const plan = planColumnFile(await modelDigest(model, ops.flat()), storage, ops);
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
    const parts = weights.length;
    const scales = new Float32Array(weights.length * columns);
    for (const [part, weight] of weights.entries()) {
      const partScales = scales.subarray(part * columns, (part + 1) * columns);
      await packPart(model, weight, { storage, data, stride, parts, part, scales: partScales }, signal);
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
  readonly storage: ColumnStorage;
  /** Columns of all parts [columns][stride]. */
  readonly data: Uint8Array;
  readonly stride: number;
  readonly parts: number;
  readonly part: number;
  /** [columns], written here. */
  readonly scales: Float32Array;
}

async function packPart(
  model: ModelFile,
  weight: Weight,
  target: PartTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  const largest = target.scales.fill(0);
  for await (const { values, count } of decodedChunks(model, weight, signal))
    raiseMaxima(values, count, largest);
  const limit = target.storage === "q8" ? 127 : Q4_LIMIT;
  if (
    !largest.every((most) => most === 0 || (Number.isFinite(Math.fround(limit / most)) && most < Infinity))
  ) {
    throw new FormatError(
      `${model.name}: tensor ${weight.tensor} holds values that are not finite or too small - download or convert the model again`,
    );
  }
  let row = 0;
  for await (const { values, count } of decodedChunks(model, weight, signal)) {
    if (target.storage === "q8") packRowsQ8(values, row, count, weight, target);
    else packRowsQ4(values, row, count, weight, target);
    row += count;
  }
  for (let column = 0; column < weight.columns; column++) largest[column] /= limit;
}

/**
 * Rows from `first` on, values [count, columns], two codes to 16 bits;
 * `scales` are the columns' largest magnitudes.
 */
function packRowsQ8(
  values: Float32Array,
  first: number,
  count: number,
  { rows, columns }: Weight,
  { data, stride, part, scales }: PartTarget,
): void {
  const start = part * columnPartBytes(rows, STORED_COLUMNS.q8) + first;
  for (let column = 0; column < columns; column++) {
    const inverse = scales[column] === 0 ? 0 : Math.fround(127 / scales[column]);
    const at = start + column * stride;
    const code = (row: number) => (row < count ? round(values[row * columns + column] * inverse) : 0);
    for (let row = 0; row < count; row += 2) {
      const pair = 256 * code(row + 1) + code(row);
      data[at + row] = pair;
      data[at + row + 1] = pair >> 8;
    }
  }
}

/** The same as nibbles; `first` is a multiple of 64 and rows behind the last are zeros. */
function packRowsQ4(
  values: Float32Array,
  first: number,
  count: number,
  { rows, columns }: Weight,
  { data, stride, parts, part, scales }: PartTarget,
): void {
  const units = unitCount(rows, STORED_COLUMNS.q4);
  const place = { data: 0, elementBytes: 0.5, units, parts };
  const { shares, nibbles } = unitPlaceQ4(place, part, first / Q4_COLUMN_UNIT_ROWS);
  const block = new Float32Array(Q4_BLOCK_ROWS);
  for (let column = 0; column < columns; column++) {
    for (let start = 0; start < Q4_COLUMN_UNIT_ROWS; start += Q4_BLOCK_ROWS) {
      let most = 0;
      for (let row = 0; row < Q4_BLOCK_ROWS; row++) {
        block[row] = start + row < count ? values[(start + row) * columns + column] : 0;
        most = Math.max(most, Math.abs(block[row]));
      }
      const share = shareOf(most, scales[column]);
      const inverse = share === 0 ? 0 : Math.fround(Q4_LIMIT / Math.fround(share * scales[column]));
      data[shares + column * stride + start / Q4_BLOCK_ROWS] = share;
      const at = nibbles + column * stride + start / 2;
      for (let i = 0; i < HALF_BLOCK; i++) {
        data[at + i] = (round(block[i] * inverse) + 8) | ((round(block[i + HALF_BLOCK] * inverse) + 8) << 4);
      }
    }
  }
}

/** What part of a column's scale, in 255ths, a block needs: rounded up, so that no weight leaves -7 to 7. */
function shareOf(most: number, largest: number): number {
  return largest === 0 ? 0 : Math.min(255, Math.ceil(Math.fround(Math.fround(most / largest) * 255)));
}

/** To the nearest whole number, ties to even, of the value rounded to 32 bits. */
function round(value: number): number {
  return Math.fround(value) + ROUNDER - ROUNDER;
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
  weight: Weight,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ values: Float32Array; count: number }> {
  const { firstRow, rows, columns } = weight;
  const tensor = storedTensor(model, weight);
  const values = new Float32Array(CHUNK_ROWS * columns);
  for (let row = 0; row < rows; row += CHUNK_ROWS) {
    signal?.throwIfAborted();
    const count = Math.min(CHUNK_ROWS, rows - row);
    await readDecodedRows(model, tensor, firstRow + row, count, values.subarray(0, count * columns));
    yield { values, count };
  }
}
