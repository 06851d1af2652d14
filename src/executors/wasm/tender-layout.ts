/**
 * How tenderLinear's operands lie in kernel memory: integer weights in panels
 * (kernels/tender-linear/pack.as.ts) and prepared activations of 16 or 8 bits
 * (kernels/tender-linear/activations.as.ts).
 */
import {
  ACTIVATIONS_SPLIT,
  ACTIVATIONS_T8,
  ACTIVATIONS_T16,
  BLOCK_COLUMNS,
  LARGEST_SPLIT_CODE,
  SPLIT_BLOCK_BYTES,
  T4_BLOCK_BYTES,
  T8_BLOCK_BYTES,
  TENDER_HEADER_BYTES,
  TILE_TOKENS,
  WEIGHT_T4,
  WEIGHT_T8,
} from "../../kernels/layout.ts";
import type { Program, TenderLinearOp } from "../../program/program.ts";
import { i4 } from "../../quantization/i4.ts";
import { i8 } from "../../quantization/i8.ts";
import { type ColumnOrder, type ColumnOrders, columnOrderOf } from "./column-order.ts";
import type { ActivationLayout, WeightLayout } from "./weight-layout.ts";

/** Columns as stored: whole blocks, filled up with zero weights. */
function storedColumns(columns: number): number {
  return blocks(columns) * BLOCK_COLUMNS;
}

function blocks(columns: number): number {
  return Math.ceil(columns / BLOCK_COLUMNS);
}

const T16_ACTIVATIONS: ActivationLayout = {
  name: "t16",
  code: ACTIVATIONS_T16,
  rowBytes: (columns) => TENDER_HEADER_BYTES + 2 * storedColumns(columns),
  tileBytes: (columns) => TENDER_HEADER_BYTES + 2 * storedColumns(columns) * TILE_TOKENS,
};

/** Rows by halves of codes (t16 without relaxed SIMD, which is smaller), tiles as in t16. */
const SPLIT_ACTIVATIONS: ActivationLayout = {
  name: "split",
  code: ACTIVATIONS_SPLIT,
  rowBytes: (columns) => TENDER_HEADER_BYTES + blocks(columns) * SPLIT_BLOCK_BYTES,
  tileBytes: T16_ACTIVATIONS.tileBytes,
};

/** Room for t16, which t8 is without relaxed SIMD; bytes need less of it. */
const T8_ACTIVATIONS: ActivationLayout = { ...T16_ACTIVATIONS, name: "t8", code: ACTIVATIONS_T8 };

const T8_LAYOUT: WeightLayout = {
  name: "t8",
  code: WEIGHT_T8,
  rowFormat: i8,
  packKernel: "pack_t8",
  activations: T16_ACTIVATIONS,
  activationFactor: 1,
  panelBytes: (columns) => blocks(columns) * T8_BLOCK_BYTES,
};

const T4_LAYOUT: WeightLayout = {
  name: "t4",
  code: WEIGHT_T4,
  rowFormat: i4,
  packKernel: "pack_t4",
  activations: SPLIT_ACTIVATIONS,
  activationFactor: 1,
  panelBytes: (columns) => blocks(columns) * T4_BLOCK_BYTES,
};

export const TENDER_LAYOUTS: readonly WeightLayout[] = [T8_LAYOUT, T4_LAYOUT];

/** 4-bit codes with their columns in the order of channel groups. */
export function orderedLayout({ places }: ColumnOrder): WeightLayout {
  const bytes = T4_LAYOUT.panelBytes(places.length);
  return { ...T4_LAYOUT, activations: T8_ACTIVATIONS, panelBytes: () => bytes };
}

/** Columns of an op as stored, padding included. */
export function opColumns(op: TenderLinearOp, orders: ColumnOrders): number {
  return columnOrderOf(op, orders)?.places.length ?? storedColumns(op.codes.columns);
}

/**
 * What 4-bit weights multiply: bytes where shifted codes fit or columns are in group order, two bytes a code
 * while decoding where those do.
 */
export function tenderActivations(op: TenderLinearOp, orders: ColumnOrders): ActivationLayout {
  if (columnOrderOf(op, orders) !== undefined) return T8_ACTIVATIONS;
  const largest = largestCode(op);
  if (op.codeBits === 8 || largest > LARGEST_SPLIT_CODE) return T16_ACTIVATIONS;
  return largest <= 127 ? T8_ACTIVATIONS : SPLIT_ACTIVATIONS;
}

/** What sums of activations may take of a thread's share of the cache that threads have in common. */
const PASS_BYTES = 2 * 2 ** 20;

/**
 * Tokens that batches multiply at a time, a multiple of two tiles, where they may add codes in pairs before
 * multiplying (kernels/tender-linear/strassen.as.ts); 0 where sums do not fit 16 bits. The sums of two tiles
 * take 20 bytes a column and are read once per pair of panels.
 */
export function passTokens(op: TenderLinearOp, orders: ColumnOrders): number {
  if (op.codeBits !== 8 || 2 * largestCode(op) > 32767) return 0;
  return 2 * TILE_TOKENS * Math.max(1, Math.floor(PASS_BYTES / (20 * opColumns(op, orders))));
}

function largestCode({ quantizer }: TenderLinearOp): number {
  return quantizer.limit * 2 ** (quantizer.kind === "static" ? quantizer.maxExponent : 0);
}

/**
 * Scratch of a thread: a panel of 16-bit weights or, where codes may be added,
 * what strassen.as.ts keeps of a pass.
 */
export function panelScratchBytes(program: Program, orders: ColumnOrders, rows: number): number {
  const bytes = program.ops.map((op) => {
    if (op.kind !== "tenderLinear") return 0;
    const columns = opColumns(op, orders);
    const pairs = Math.ceil(Math.min(rows, passTokens(op, orders)) / (2 * TILE_TOKENS));
    return pairs === 0 ? 16 * columns : 56 * columns + pairs * (896 + 20 * columns);
  });
  return Math.ceil(Math.max(0, ...bytes) / 64) * 64;
}
