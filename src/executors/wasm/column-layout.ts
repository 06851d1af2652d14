/**
 * How the wasm executor stores matrices that are read by columns (kernels/linear-columns/layout.as.ts): which element
 * format, how many bytes, and where each unit of rows lies.
 */
import { UnsupportedError } from "../../errors.ts";
import {
  BLOCK_COLUMNS,
  COLUMN_SCRATCH_BYTES,
  COLUMN_UNIT_ROWS,
  I16_HEADER_BYTES,
  PANEL_ROWS,
  Q8_BLOCK_BYTES,
  TILE_TOKENS,
  WEIGHT_BF16,
  WEIGHT_F16,
  WEIGHT_F32,
  WEIGHT_Q8,
} from "../../kernels/layout.ts";
import type { Weight } from "../../program/program.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import type { ExecutorOptions } from "../executor.ts";

export interface ColumnLayout {
  /** As in kernel names, e.g. `linear_columns_q8_i16`. */
  readonly name: "f32" | "f16" | "bf16" | "q8";
  readonly activations: "f32" | "i16";
  readonly code: number;
  /** Format of the rows that the pack kernel takes. */
  readonly rowFormat: WeightFormat;
  readonly elementBytes: number;
  /** Whether columns have scales. */
  readonly scaled: boolean;
  /** Multiplies f32 activations of batches (kernels/linear/linear-float.as.ts says why f16 weights need it). */
  readonly activationFactor: number;
}

const F32: ColumnLayout = {
  name: "f32",
  activations: "f32",
  code: WEIGHT_F32,
  rowFormat: f32,
  elementBytes: 4,
  scaled: false,
  activationFactor: 1,
};
const F16: ColumnLayout = {
  ...F32,
  name: "f16",
  code: WEIGHT_F16,
  rowFormat: f16,
  elementBytes: 2,
  activationFactor: 2 ** 60,
};
const BF16: ColumnLayout = { ...F32, name: "bf16", code: WEIGHT_BF16, rowFormat: bf16, elementBytes: 2 };
/** How columns lie in a column file. */
export const STORED_COLUMNS: ColumnLayout = {
  ...F32,
  name: "q8",
  activations: "i16",
  code: WEIGHT_Q8,
  elementBytes: 1,
  scaled: true,
};

/**
 * The file's own float format where it has one; otherwise signed bytes with a scale per column. Throws UnsupportedError
 * when 4-bit columns are demanded.
 */
export function columnLayout(
  fileFormat: WeightFormat,
  forced: ExecutorOptions["weightFormat"],
): ColumnLayout {
  if (forced === "q4") {
    throw new UnsupportedError(
      "weight format q4: no kernels for matrices that are read by columns, expected auto, f32, f16 or q8 - choose one of these or run without column selection",
    );
  }
  if (forced !== "auto") return { f32: F32, f16: F16, q8: STORED_COLUMNS }[forced];
  return [F32, F16, BF16].find(({ rowFormat }) => rowFormat === fileFormat) ?? STORED_COLUMNS;
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
  /** Columns that lie in a file: index of their site in the fetch plan. `data` is then where all of them can be brought. */
  readonly site: number | undefined;
}

export function unitCount(rows: number): number {
  return Math.ceil(rows / COLUMN_UNIT_ROWS);
}

/** Scales of all parts, rounded up to a cache line; and the columns. */
export function columnBytes(weights: readonly Weight[], layout: ColumnLayout) {
  const [{ rows, columns }] = weights;
  const scales = layout.scaled ? 64 * Math.ceil((4 * weights.length * columns) / 64) : 0;
  return {
    scales,
    data: weights.length * columns * unitCount(rows) * COLUMN_UNIT_ROWS * layout.elementBytes,
  };
}

/** What one chosen column of one part is worth in bytes read. */
export function columnReadBytes({ units, layout }: PlacedColumns): number {
  return units * COLUMN_UNIT_ROWS * layout.elementBytes + (layout.scaled ? 4 : 0);
}

/** Sizes that decide where in `data` things lie. */
export interface ColumnGeometry {
  readonly data: number;
  readonly elementBytes: number;
  readonly units: number;
  readonly parts: number;
}

/** Where a unit of 16 rows of a part lies: the address in column 0 and the distance to the next column. */
export function unitPlace(
  { data, elementBytes, units, parts }: ColumnGeometry,
  part: number,
  unit: number,
): { readonly address: number; readonly stride: number } {
  const unitBytes = COLUMN_UNIT_ROWS * elementBytes;
  return { address: data + (part * units + unit) * unitBytes, stride: parts * units * unitBytes };
}

/** Scratch a thread needs: a chunk of columns and the sums when decoding, a panel and scaled inputs in batches. */
export function columnScratchBytes({ rows, columns }: Weight, parts: number): number {
  // A chunk's sums, i16 or f32, and the integers' totals.
  const decoding = COLUMN_SCRATCH_BYTES + (2 + 4) * parts * unitCount(rows) * COLUMN_UNIT_ROWS;
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
