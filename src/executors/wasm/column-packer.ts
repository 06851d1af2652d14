/**
 * The engine worker's side of loading columns: hands units of 16 or 64 staged rows to the pack kernels.
 */
import { COLUMN_UNIT_ROWS, Q4_COLUMN_UNIT_ROWS } from "../../kernels/layout.ts";
import { formatByName } from "../../quantization/registry.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import { unitPlace, unitPlaceQ4 } from "./column-layout.ts";
import type { ColumnsRequest } from "./engine-protocol.ts";

/** Exports of kernels/linear-columns/pack-columns.as.ts. */
export interface ColumnKernels {
  readonly column_maxima: (source: number, rows: number, columns: number, largest: number) => void;
  readonly pack_columns_q8: (
    source: number,
    rows: number,
    columns: number,
    largest: number,
    stride: number,
    target: number,
  ) => void;
  readonly pack_columns_q4: (
    source: number,
    rows: number,
    columns: number,
    largest: number,
    stride: number,
    shares: number,
    target: number,
  ) => void;
  readonly finish_column_scales: (largest: number, columns: number, limit: number) => void;
  readonly pack_columns_32: PackFloats;
  readonly pack_columns_16: PackFloats;
}

type PackFloats = (source: number, rows: number, columns: number, stride: number, target: number) => void;

/** Rows are in the request's row format by now. */
export function packColumns(kernels: ColumnKernels, request: ColumnsRequest): void {
  const { phase, source, rows, columns, scales } = request;
  if (phase === "measure") {
    kernels.column_maxima(source, rows, columns, scales);
    return;
  }
  if (phase === "finish") {
    // The largest code, times the largest share.
    kernels.finish_column_scales(scales, columns, request.storage === "q4" ? 7 * 255 : 127);
    return;
  }
  if (request.storage === "q4") {
    packQ4(kernels, request);
    return;
  }
  const rowBytes = formatBytes(formatByName(request.rowFormat), columns);
  for (let row = 0; row < rows; row += COLUMN_UNIT_ROWS) {
    const unit = (request.firstRow + row) / COLUMN_UNIT_ROWS;
    const { address, stride } = unitPlace(request, request.part, unit);
    const from = source + row * rowBytes;
    const count = Math.min(COLUMN_UNIT_ROWS, rows - row);
    if (request.storage === "q8") {
      kernels.pack_columns_q8(from, count, columns, scales, stride, address);
    } else if (request.storage === "f32") {
      kernels.pack_columns_32(from, count, columns, stride, address);
    } else {
      kernels.pack_columns_16(from, count, columns, stride, address);
    }
  }
}

function packQ4(kernels: ColumnKernels, request: ColumnsRequest): void {
  const { source, rows, columns, scales, part, firstRow } = request;
  for (let row = 0; row < rows; row += Q4_COLUMN_UNIT_ROWS) {
    const { shares, nibbles, stride } = unitPlaceQ4(request, part, (firstRow + row) / Q4_COLUMN_UNIT_ROWS);
    const count = Math.min(Q4_COLUMN_UNIT_ROWS, rows - row);
    kernels.pack_columns_q4(source + 4 * row * columns, count, columns, scales, stride, shares, nibbles);
  }
}
