/**
 * How the wasm executor stores a matrix: which kernel format, how many bytes, and what the rows must look
 * like before the pack kernels rearrange them into panels (kernels/linear/layout.as.ts).
 */
import {
  ACTIVATIONS_F32,
  ACTIVATIONS_I8,
  ACTIVATIONS_I16,
  BLOCK_COLUMNS,
  I8_BLOCK_BYTES,
  I16_HEADER_BYTES,
  PANEL_ROWS,
  Q4_BLOCK_BYTES,
  Q8_BLOCK_BYTES,
  TILE_TOKENS,
  WEIGHT_BF16,
  WEIGHT_F16,
  WEIGHT_F32,
  WEIGHT_Q4,
  WEIGHT_Q8,
} from "../../kernels/layout.ts";
import { UnsupportedError } from "../../errors.ts";
import type { Weight } from "../../program/program.ts";
import { forcedStorage, type WeightStorage } from "../../program/weight-storage.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import { formatBytes, type WeightFormat } from "../../quantization/weight-format.ts";
import { TENDER_LAYOUTS } from "./tender-layout.ts";

/** What activations look like in front of a linear op. */
export interface ActivationLayout {
  readonly name: "f32" | "i16" | "i8" | "t16" | "t8" | "split";
  readonly code: number;
  readonly rowBytes: (columns: number) => number;
  readonly tileBytes: (columns: number) => number;
}

export interface WeightLayout {
  /** As in kernel names, e.g. `linear_q8_i16_row`. */
  readonly name: "f32" | "f16" | "bf16" | "q8" | "q4" | "t8" | "t4";
  readonly code: number;
  /** The file format whose rows the pack kernel takes. */
  readonly rowFormat: WeightFormat;
  readonly packKernel: "pack_32" | "pack_16" | "pack_q8" | "pack_q4" | "pack_t8" | "pack_t4" | "copy_rows";
  readonly activations: ActivationLayout;
  /** Multiplies f32 activations (kernels/linear/linear-float.as.ts says why f16 weights need it). */
  readonly activationFactor: number;
  readonly panelBytes: (columns: number) => number;
}

const F32_ACTIVATIONS: ActivationLayout = {
  name: "f32",
  code: ACTIVATIONS_F32,
  rowBytes: (columns) => 4 * columns,
  tileBytes: (columns) => 4 * columns * TILE_TOKENS,
};

const I16_ACTIVATIONS: ActivationLayout = {
  name: "i16",
  code: ACTIVATIONS_I16,
  rowBytes: (columns) => I16_HEADER_BYTES + 2 * columns,
  tileBytes: (columns) => I16_HEADER_BYTES + 2 * columns * TILE_TOKENS,
};

const I8_ACTIVATIONS: ActivationLayout = {
  name: "i8",
  code: ACTIVATIONS_I8,
  rowBytes: (columns) => (columns / BLOCK_COLUMNS) * I8_BLOCK_BYTES,
  tileBytes: (columns) => (columns / BLOCK_COLUMNS) * I8_BLOCK_BYTES * TILE_TOKENS,
};

const LAYOUTS: readonly WeightLayout[] = [
  {
    name: "f32",
    code: WEIGHT_F32,
    rowFormat: f32,
    packKernel: "pack_32",
    activations: F32_ACTIVATIONS,
    activationFactor: 1,
    panelBytes: (columns) => PANEL_ROWS * 4 * columns,
  },
  {
    name: "f16",
    code: WEIGHT_F16,
    rowFormat: f16,
    packKernel: "pack_16",
    activations: F32_ACTIVATIONS,
    activationFactor: 2 ** 60,
    panelBytes: (columns) => PANEL_ROWS * 2 * columns,
  },
  {
    name: "bf16",
    code: WEIGHT_BF16,
    rowFormat: bf16,
    packKernel: "pack_16",
    activations: F32_ACTIVATIONS,
    activationFactor: 1,
    panelBytes: (columns) => PANEL_ROWS * 2 * columns,
  },
  {
    name: "q8",
    code: WEIGHT_Q8,
    rowFormat: q8_0,
    packKernel: "pack_q8",
    activations: I16_ACTIVATIONS,
    activationFactor: 1,
    panelBytes: (columns) => (columns / BLOCK_COLUMNS) * Q8_BLOCK_BYTES,
  },
  {
    name: "q4",
    code: WEIGHT_Q4,
    rowFormat: q4_0,
    packKernel: "pack_q4",
    activations: I8_ACTIVATIONS,
    activationFactor: 1,
    panelBytes: (columns) => (columns / BLOCK_COLUMNS) * Q4_BLOCK_BYTES,
  },
];

/**
 * The layout of a matrix: its own format where there are kernels for it; otherwise 8-bit blocks, which keep
 * everything the smaller block formats hold to about one part in 250 of a block's largest value.
 */
export function weightLayout(weight: Weight, fileFormat: WeightFormat, forced: WeightStorage): WeightLayout {
  const codes = TENDER_LAYOUTS.find((layout) => layout.rowFormat === fileFormat);
  if (codes !== undefined) return codes; // integers with a recipe: no other storage means the same
  const wanted = forced === "auto" ? fileFormat : forcedStorage(weight, forced);
  const native = LAYOUTS.find((layout) => layout.rowFormat === wanted);
  return native ?? layoutFor(forcedStorage(weight, "q8"));
}

/**
 * The layout of a matrix whose rows are chosen one by one: rows of the format that `weightLayout` gives, as
 * they lie in a file; 8-bit blocks where that is 4 bits. Panels are 8 rows in a row.
 */
export function rowLayout(weight: Weight, fileFormat: WeightFormat, forced: WeightStorage): WeightLayout {
  const dense = weightLayout(weight, fileFormat, forced);
  if (TENDER_LAYOUTS.includes(dense)) {
    throw new UnsupportedError(
      `${weight.name}: holds integer codes, whose rows cannot be chosen - make neurons sparse before compress tender`,
    );
  }
  const layout = dense.name === "q4" ? layoutFor(forcedStorage(weight, "q8")) : dense;
  const rowBytes = (columns: number) => formatBytes(layout.rowFormat, columns);
  return { ...layout, packKernel: "copy_rows", panelBytes: (columns) => PANEL_ROWS * rowBytes(columns) };
}

function layoutFor(format: WeightFormat): WeightLayout {
  const layout = LAYOUTS.find((candidate) => candidate.rowFormat === format);
  if (layout === undefined) throw new Error(`wasm executor: no kernels for weight storage ${format.name}`);
  return layout;
}

/** Bytes of a panel that dense kernels read, packed from chosen rows. */
export function densePanelBytes({ name }: WeightLayout, columns: number): number {
  const dense = LAYOUTS.find((layout) => layout.name === name);
  if (dense === undefined) throw new Error(`wasm executor: no panels of ${name}`);
  return dense.panelBytes(columns);
}

export function panelCount(rows: number): number {
  return Math.ceil(rows / PANEL_ROWS);
}

/** Bytes of a packed matrix. */
export function packedBytes(weight: Weight, layout: WeightLayout): number {
  return panelCount(weight.rows) * layout.panelBytes(weight.columns);
}
