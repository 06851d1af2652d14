/**
 * How the wasm executor stores matrices that are read by columns (kernels/linear-columns/layout.as.ts): which
 * element format, how many bytes, and where each unit of rows lies.
 */
import {
  BLOCK_COLUMNS,
  COLUMN_SCRATCH_BYTES,
  COLUMN_UNIT_ROWS,
  I16_HEADER_BYTES,
  PANEL_ROWS,
  Q4_COLUMN_UNIT_ROWS,
  Q4_INPUT_BYTES,
  Q8_BLOCK_BYTES,
  TILE_TOKENS,
  WEIGHT_BF16,
  WEIGHT_F16,
  WEIGHT_F32,
  WEIGHT_Q4,
  WEIGHT_Q8,
} from "../../kernels/layout.ts";
import type { Weight } from "../../program/program.ts";
import type { WeightStorage } from "../../program/weight-storage.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import type { ColumnStorage } from "../column-store.ts";

export interface ColumnLayout {
  readonly name: "f32" | "f16" | "bf16" | "q8" | "q4";
  /** Kernels for one token's chosen columns, and for several tokens. */
  readonly kernels: { readonly decode: string; readonly batch: string };
  /** Of batches. */
  readonly activations: "f32" | "i16";
  readonly code: number;
  /** Format of the rows that the pack kernel takes. */
  readonly rowFormat: WeightFormat;
  /** Rows that columns are padded to a multiple of. */
  readonly unitRows: number;
  readonly elementBytes: number;
  /** Columns have a scale each; their sums are integers, which are added up apart. */
  readonly scaled: boolean;
  /**
   * Multiplies f32 activations of batches (kernels/linear/linear-float.as.ts says why f16 weights need it).
   */
  readonly activationFactor: number;
}

const F32: ColumnLayout = {
  name: "f32",
  kernels: { decode: "linear_columns_f32_f32", batch: "linear_f32_f32_tile" },
  activations: "f32",
  code: WEIGHT_F32,
  rowFormat: f32,
  unitRows: COLUMN_UNIT_ROWS,
  elementBytes: 4,
  scaled: false,
  activationFactor: 1,
};
const F16: ColumnLayout = {
  ...F32,
  name: "f16",
  kernels: { decode: "linear_columns_f16_f32", batch: "linear_f16_f32_tile" },
  code: WEIGHT_F16,
  rowFormat: f16,
  elementBytes: 2,
  activationFactor: 2 ** 60,
};
const BF16: ColumnLayout = {
  ...F32,
  name: "bf16",
  kernels: { decode: "linear_columns_bf16_f32", batch: "linear_bf16_f32_tile" },
  code: WEIGHT_BF16,
  rowFormat: bf16,
  elementBytes: 2,
};
const Q8: ColumnLayout = {
  ...F32,
  name: "q8",
  kernels: { decode: "linear_columns_q8_i16", batch: "linear_q8_i16_tile" },
  activations: "i16",
  code: WEIGHT_Q8,
  elementBytes: 1,
  scaled: true,
};
/** Batches multiply values: a share of a scale per 32 rows of a column fits no dense integer kernel. */
const Q4: ColumnLayout = {
  ...F32,
  name: "q4",
  kernels: { decode: "linear_columns_q4_i8", batch: "linear_f32_f32_tile" },
  code: WEIGHT_Q4,
  unitRows: Q4_COLUMN_UNIT_ROWS,
  elementBytes: 0.5,
  scaled: true,
};

/** How columns lie in a column file: as in memory. */
export const STORED_COLUMNS: Readonly<Record<ColumnStorage, ColumnLayout>> = { q8: Q8, q4: Q4 };

/** The file's own float format where it has one; otherwise codes of 8 bits with a scale per column. */
export function columnLayout(fileFormat: WeightFormat, forced: WeightStorage): ColumnLayout {
  if (forced !== "auto") return { f32: F32, f16: F16, q8: Q8, q4: Q4 }[forced];
  return [F32, F16, BF16].find(({ rowFormat }) => rowFormat === fileFormat) ?? Q8;
}

/** The parts of one op, placed together. */
export interface PlacedColumns {
  readonly weights: readonly Weight[];
  readonly layout: ColumnLayout;
  /** f32 [parts, columns]; where there are none, the address of nothing. */
  readonly scales: number;
  readonly data: number;
  /** Bytes from one column to the next. */
  readonly stride: number;
  readonly units: number;
  /** Of all parts, with scales. */
  readonly bytes: number;
  /**
   * Columns that lie in a file: index of their site in the fetch plan.
   * `data` is then where all of them can be brought.
   */
  readonly site: number | undefined;
}

export function unitCount(rows: number, { unitRows }: ColumnLayout): number {
  return Math.ceil(rows / unitRows);
}

/** Bytes of one part of a column of that many rows, without its scale. */
export function columnPartBytes(rows: number, layout: ColumnLayout): number {
  return partBytes(unitCount(rows, layout), layout);
}

/** Bytes of one part of a column in `units` of rows, without its scale. */
function partBytes(units: number, { unitRows, elementBytes, name }: ColumnLayout): number {
  return units * unitRows * elementBytes + (name === "q4" ? q4ShareBytes(units) : 0);
}

/** Shares of a scale, a byte per 32 rows, in 16 bytes. */
export function q4ShareBytes(units: number): number {
  return 16 * Math.ceil((units * Q4_COLUMN_UNIT_ROWS) / 32 / 16);
}

/** Scales of all parts, rounded up to a cache line; and the columns. */
export function columnBytes(weights: readonly Weight[], layout: ColumnLayout) {
  const [{ rows, columns }] = weights;
  const scales = layout.scaled ? 64 * Math.ceil((4 * weights.length * columns) / 64) : 0;
  return {
    scales,
    data: weights.length * columns * columnPartBytes(rows, layout),
  };
}

/** What one chosen column of one part is worth in bytes read. */
export function columnReadBytes({ units, layout }: PlacedColumns): number {
  return partBytes(units, layout) + (layout.scaled ? 4 : 0);
}

/** Sizes that decide where in `data` things lie. */
export interface ColumnGeometry {
  readonly data: number;
  readonly elementBytes: number;
  readonly units: number;
  readonly parts: number;
}

/**
 * Where a unit of 16 rows of a part lies, of other formats than 4 bits:
 * the address in column 0 and the distance to the next column.
 */
export function unitPlace(
  { data, elementBytes, units, parts }: ColumnGeometry,
  part: number,
  unit: number,
): { readonly address: number; readonly stride: number } {
  const unitBytes = COLUMN_UNIT_ROWS * elementBytes;
  return { address: data + (part * units + unit) * unitBytes, stride: parts * units * unitBytes };
}

/**
 * Where a unit of 64 rows of a part of 4-bit columns lies: its shares and its nibbles in column 0,
 * and the distance to the next.
 */
export function unitPlaceQ4(
  { data, units, parts }: ColumnGeometry,
  part: number,
  unit: number,
): { readonly shares: number; readonly nibbles: number; readonly stride: number } {
  const [shareBytes, unitBytes] = [q4ShareBytes(units), Q4_COLUMN_UNIT_ROWS / 2];
  return {
    shares: data + part * shareBytes + (unit * Q4_COLUMN_UNIT_ROWS) / 32,
    nibbles: data + parts * shareBytes + (part * units + unit) * unitBytes,
    stride: parts * (shareBytes + units * unitBytes),
  };
}

/**
 * Scratch a thread needs: a chunk of columns and the sums when decoding,
 * a panel and scaled inputs in batches.
 */
export function columnScratchBytes({ rows, columns }: Weight, parts: number): number {
  // A chunk's sums, i16 or f32, and the integers' totals.
  const rowsDecoded = Q4_COLUMN_UNIT_ROWS * Math.ceil(rows / Q4_COLUMN_UNIT_ROWS);
  // 4-bit columns also have an offset of 2 bytes per 32 rows, and inputs of a run of rows.
  const blockBytes = 2 * 16 * Math.ceil(rowsDecoded / 32 / 16) * parts + Q4_INPUT_BYTES;
  // Inputs times scales of all chosen columns, read up to a whole vector and a half.
  const products = 4 * parts * columns + 32;
  const decoding = COLUMN_SCRATCH_BYTES + (2 + 4) * parts * rowsDecoded + blockBytes + products;
  const blocks = Math.ceil(columns / BLOCK_COLUMNS);
  const panel = Math.max(blocks * Q8_BLOCK_BYTES, 4 * PANEL_ROWS * columns);
  const inputs = 4 * TILE_TOKENS * blocks * BLOCK_COLUMNS;
  return 64 * Math.ceil(Math.max(decoding, panel, inputs) / 64);
}

/** A tile of activations in front of a batch. */
export function columnTileBytes(layout: ColumnLayout, columns: number): number {
  const padded = BLOCK_COLUMNS * Math.ceil(columns / BLOCK_COLUMNS);
  return layout.activations === "i16"
    ? I16_HEADER_BYTES + 2 * TILE_TOKENS * padded
    : 4 * TILE_TOKENS * columns;
}
