/**
 * What linearRows becomes on a tape: while decoding a product over the chosen rows, shared among the threads
 * by number; in batches all rows, packed into panels on their way through the dense kernels.
 */
import * as layout from "../../kernels/layout.ts";
import type { LinearRowsOp } from "../../program/column-ops.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import { preparedRegion, type TapeWriter } from "./tape-writer.ts";
import { panelCount } from "./weight-layout.ts";

export function appendLinearRows(tape: TapeWriter, op: LinearRowsOp): void {
  const weight = tape.weight(op.weight.name);
  const { columns, rows } = op.weight;
  const { layout: stored } = weight;
  const area = tape.prepare(op.x, columns, stored);
  const rowBytes = formatBytes(stored.rowFormat, columns);
  const out = tape.buffer(op.out);
  if (tape.mode === "decode") {
    const selection = tape.selection(op.selection.name);
    tape.kernels.push(`linear_rows_${stored.name}_${stored.activations.name}`);
    tape.emit(
      layout.OP_LINEAR_ROWS,
      [
        stored.code,
        weight.address,
        rowBytes,
        columns,
        area.rows,
        area.rowStride,
        selection.address,
        selection.threadStride,
        out.address,
        tape.columnAreas().counters,
      ],
      { reads: [], writes: [{ region: op.out.name, access: "taken" }] },
    );
    return;
  }
  const panels = panelCount(rows);
  const { panelScratch, panelScratchStride, zeros } = tape.plan;
  tape.kernels.push(`linear_${stored.name}_${stored.activations.name}_tile`);
  tape.emit(
    layout.OP_LINEAR_ROWS_TILE,
    [
      stored.code,
      weight.address,
      rowBytes,
      columns,
      panels,
      area.tiles,
      out.address,
      out.stride,
      zeros,
      panelScratch,
      panelScratchStride,
      tape.batchCounter(),
    ],
    {
      reads: [{ region: preparedRegion(stored.activations), access: "whole" }],
      writes: [{ region: op.out.name, access: tape.panelAccess(panels) }],
    },
  );
}
