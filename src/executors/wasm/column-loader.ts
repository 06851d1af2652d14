/**
 * Moves matrices that are read by columns from the file into kernel memory. A column's scale covers all its rows, so
 * quantized layouts read the file twice: once for the largest magnitudes, once to pack. Staging is used as by the rows'
 * loader: one half is filled while the other is packed.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { storedTensor } from "../../models/decoded-rows.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import type { PlacedColumns } from "./column-layout.ts";
import type { EngineClient } from "./engine-client.ts";
import type { ColumnsRequest } from "./engine-protocol.ts";
import { STAGING_BYTES } from "./memory-plan.ts";

export interface ColumnTarget {
  readonly memory: WebAssembly.Memory;
  readonly engine: EngineClient;
  /** Address of the two staging halves, and of a unit of rows in another format. */
  readonly staging: number;
  readonly conversion: number;
}

const NO_ROWS = { format: "F32", source: 0, conversion: 0, rows: 0, firstRow: 0 };

/** Throws UnsupportedError for rows too long to stage, FormatError and ResourceError as `readRows` does. */
export async function loadColumns(
  file: ModelFile,
  placed: PlacedColumns,
  target: ColumnTarget,
): Promise<void> {
  for (let part = 0; part < placed.weights.length; part++) {
    if (placed.layout.scaled) await passOver(file, placed, part, "measure", target);
    await passOver(file, placed, part, "pack", target);
    if (!placed.layout.scaled) continue;
    await target.engine.request(request(placed, part, "finish", NO_ROWS));
  }
}

async function passOver(
  file: ModelFile,
  placed: PlacedColumns,
  part: number,
  phase: ColumnsRequest["phase"],
  { memory, engine, staging, conversion }: ColumnTarget,
): Promise<void> {
  const { columns, rows, firstRow, tensor: name } = placed.weights[part];
  const tensor = storedTensor(file, placed.weights[part]);
  const rowBytes = formatBytes(tensor.format, columns);
  const { unitRows } = placed.layout;
  const chunkRows = Math.floor(STAGING_BYTES / rowBytes / unitRows) * unitRows;
  if (chunkRows === 0) {
    throw new UnsupportedError(
      `${file.name}: tensor ${name}, expected rows of at most 512 KiB, got ${rowBytes} bytes`,
    );
  }
  let packing: Promise<unknown> = Promise.resolve();
  let half = 0;
  for (let row = 0; row < rows; row += chunkRows) {
    const count = Math.min(chunkRows, rows - row);
    const source = staging + half * STAGING_BYTES;
    await file.readRows(name, firstRow + row, count, new Uint8Array(memory.buffer, source, count * rowBytes));
    await packing; // the other half is free again
    const chunk = { format: tensor.format.name, source, conversion, rows: count, firstRow: row };
    packing = engine.request(request(placed, part, phase, chunk));
    half = 1 - half;
  }
  await packing;
}

function request(
  placed: PlacedColumns,
  part: number,
  phase: ColumnsRequest["phase"],
  chunk: Pick<ColumnsRequest, "format" | "source" | "conversion" | "rows" | "firstRow">,
): ColumnsRequest {
  const { layout, weights, scales, data, units } = placed;
  const [{ columns }] = weights;
  return {
    kind: "columns",
    phase,
    ...chunk,
    rowFormat: layout.rowFormat.name,
    storage: layout.name,
    elementBytes: layout.elementBytes,
    columns,
    part,
    parts: weights.length,
    scales: scales + 4 * part * columns,
    data,
    units,
  };
}
