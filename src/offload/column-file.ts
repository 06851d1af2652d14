/**
 * The file that holds columns of a model's feed-forward linears,
 * for models larger than the memory. Little-endian:
 *   "SKIMCOLS", u32 version, u32 length of the JSON that follows, JSON, zeros up to a multiple of 4096,
 *   per op: columns [columns][stride] from a multiple of 4096 on, each padded to `stride` (a multiple of
 *   512), then f32 scales [parts][columns].
 * A column of 8 bits (storage q8) holds its parts one after the other, codes of -127..127
 * [rows up to a multiple of 16], value = code * scale; two codes are one i16, 256 * odd row + even row. A
 * column of 4 bits (q4) holds its parts' shares and then their nibbles, value = (nibble - 8) * share * scale.
 * These are the bytes that the column kernels read (kernels/linear-columns/layout.as.ts); nothing is
 * converted on the way.
 * Invariant: `model` is a digest of the checkpoint the columns were made from;
 * a file of another model is refused.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";
import {
  COLUMN_ALIGNMENT,
  COLUMN_STORAGES,
  type ColumnStorage,
  type StoredColumns,
} from "../executors/column-store.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { columnPartBytes, STORED_COLUMNS } from "../executors/wasm/column-layout.ts";
import { storedTensor } from "../models/decoded-rows.ts";
import type { ByteSource } from "../platform/types.ts";
import type { Weight } from "../program/program.ts";
import { formatBytes } from "../quantization/weight-format.ts";

const MAGIC = "SKIMCOLS";
const VERSION = 2;
const PREFIX_BYTES = 16;
/** Where an op's columns begin: a page, so that no read straddles more of them than it must. */
const PAGE = 4096;
/** A 1000-layer model's header is a tenth of it. */
const MAX_HEADER_BYTES = 4 << 20;
/** Far above any model; keeps products of sizes exact. */
const MAX_DIMENSION = 1 << 24;

const size = z.number().int().min(1).max(MAX_DIMENSION);
const offset = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const headerSchema = z.strictObject({
  /** SHA-256 in hexadecimal digits, see `modelDigest`. */
  model: z.string().regex(/^[0-9a-f]{64}$/),
  storage: z.enum(COLUMN_STORAGES),
  ops: z
    .array(
      z.strictObject({
        weights: z.array(z.string().min(1)).min(1).max(2),
        rows: size,
        columns: size,
        stride: size,
        offset,
        scales: offset,
      }),
    )
    .min(1),
});

export type ColumnFileHeader = z.infer<typeof headerSchema>;
export type ColumnFileOp = ColumnFileHeader["ops"][number];

/** Bytes of a column of `parts` matrices with `rows` rows, padded. */
export function columnStride(rows: number, parts: number, storage: ColumnStorage): number {
  return roundUp(parts * columnPartBytes(rows, STORED_COLUMNS[storage]), COLUMN_ALIGNMENT);
}

/** The header of a file with these ops, and where its last byte is. */
export function planColumnFile(
  model: string,
  storage: ColumnStorage,
  ops: readonly (readonly Weight[])[],
): { readonly header: Uint8Array; readonly ops: readonly ColumnFileOp[]; readonly bytes: number } {
  const place = (start: number) => {
    let at = start;
    return ops.map((weights): ColumnFileOp => {
      const [{ rows, columns }] = weights;
      const stride = columnStride(rows, weights.length, storage);
      const scales = at + columns * stride;
      const op = { weights: weights.map(({ name }) => name), rows, columns, stride, offset: at, scales };
      at = roundUp(scales + 4 * weights.length * columns, PAGE);
      return op;
    });
  };
  // Offsets have more digits the longer the header; the space for the longest ones is enough for all.
  const longest = encodeHeader({ model, storage, ops: place(Number.MAX_SAFE_INTEGER / 4) }).length;
  const start = roundUp(PREFIX_BYTES + longest, PAGE);
  const placed = place(start);
  const text = encodeHeader({ model, storage, ops: placed });
  const header = new Uint8Array(start);
  header.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(header.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, text.length, true);
  header.set(text, PREFIX_BYTES);
  const last = placed[placed.length - 1];
  return { header, ops: placed, bytes: roundUp(last.scales + 4 * last.weights.length * last.columns, PAGE) };
}

/** Reads and checks the header; throws FormatError where it lies, ResourceError where it cannot be read. */
export async function readColumnHeader(source: ByteSource): Promise<ColumnFileHeader> {
  const fail = (problem: string): never => {
    throw new FormatError(`${source.name}: ${problem} - write the file again with skim compress columns`);
  };
  if (source.size < PREFIX_BYTES) fail(`expected a column file, got ${source.size} bytes`);
  const prefix = new Uint8Array(PREFIX_BYTES);
  await source.readInto(0, prefix);
  const magic = new TextDecoder().decode(prefix.subarray(0, MAGIC.length));
  if (magic !== MAGIC) fail("expected a column file, got something else");
  const view = new DataView(prefix.buffer);
  if (view.getUint32(8, true) !== VERSION)
    fail(`expected version ${VERSION}, got ${view.getUint32(8, true)}`);
  const length = view.getUint32(12, true);
  if (length > MAX_HEADER_BYTES || PREFIX_BYTES + length > source.size)
    fail(`a header of ${length} bytes does not fit`);
  const text = new Uint8Array(length);
  await source.readInto(PREFIX_BYTES, text);
  const outcome = headerSchema.safeParse(parseJson(text));
  if (!outcome.success) {
    const [issue] = outcome.error.issues;
    return fail(`header key ${issue.path.join(".")}: ${issue.message}`);
  }
  const { ops, storage } = outcome.data;
  for (const op of ops) checkPlace(op, storage, source.size, fail);
  return outcome.data;
}

/**
 * What tells checkpoints apart without reading them whole: SHA-256 over shape and format of the tensors of
 * `weights`, and the bytes of their first, middle and last rows.
 */
export async function modelDigest(model: ModelFile, weights: readonly Weight[]): Promise<string> {
  const pieces: Uint8Array[] = [];
  for (const weight of weights) {
    const { name, rows, columns, firstRow } = weight;
    const tensor = storedTensor(model, weight);
    pieces.push(
      new TextEncoder().encode(JSON.stringify([name, rows, columns, firstRow, tensor.format.name])),
    );
    for (const row of [0, rows >> 1, rows - 1]) {
      const bytes = new Uint8Array(formatBytes(tensor.format, columns));
      await model.readRows(tensor.name, firstRow + row, 1, bytes);
      pieces.push(bytes);
    }
  }
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The op as executors know it. */
export function storedColumns(
  { weights, rows, columns, stride, offset }: ColumnFileOp,
  storage: ColumnStorage,
): StoredColumns {
  return { weights, storage, rows, columns, stride, offset };
}

function checkPlace(
  op: ColumnFileOp,
  storage: ColumnStorage,
  fileBytes: number,
  fail: (problem: string) => never,
): void {
  const { weights, rows, columns, stride, offset, scales } = op;
  const [name] = weights;
  const expected = columnStride(rows, weights.length, storage);
  if (stride !== expected) fail(`${name}: expected columns every ${expected} bytes, got ${stride}`);
  if (offset % PAGE !== 0) fail(`${name}: expected columns from a multiple of ${PAGE} on, got ${offset}`);
  const ends = [offset + columns * stride, scales + 4 * weights.length * columns];
  if (Math.max(...ends) > fileBytes) {
    fail(`${name}: lies beyond the end of the file at ${fileBytes} bytes, it was cut off`);
  }
}

function encodeHeader(header: ColumnFileHeader): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(header));
}

function parseJson(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    return undefined;
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
