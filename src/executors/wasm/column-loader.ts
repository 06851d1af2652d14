/**
 * Moves matrices that are read by columns from the file into kernel memory. A column's scale covers all its
 * rows, so quantized layouts read the file twice: once for the largest magnitudes, once to pack.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import type { PlacedColumns } from "./column-layout.ts";
import type { ColumnsRequest } from "./engine-protocol.ts";
import { type StagedRows, type StagingTarget, stageRows } from "./staging.ts";

const NO_ROWS: StagedRows = { format: "F32", source: 0, conversion: 0, rows: 0, firstRow: 0 };

/** Throws UnsupportedError for rows too long to stage, FormatError and ResourceError as `readRows` does. */
export async function loadColumns(
  file: ModelFile,
  placed: PlacedColumns,
  target: StagingTarget,
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
  target: StagingTarget,
): Promise<void> {
  await stageRows(file, placed.weights[part], placed.layout.unitRows, target, (staged) =>
    request(placed, part, phase, staged),
  );
}

function request(
  placed: PlacedColumns,
  part: number,
  phase: ColumnsRequest["phase"],
  staged: StagedRows,
): ColumnsRequest {
  const { layout, weights, scales, data, units } = placed;
  const [{ columns }] = weights;
  return {
    kind: "columns",
    phase,
    ...staged,
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
