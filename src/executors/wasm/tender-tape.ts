/**
 * The tape instructions of tenderLinear (kernels/tape/tender.as.ts lists their arguments). Linears that share
 * an input and its quantizer share the prepared activations.
 */
import * as layout from "../../kernels/layout.ts";
import type { TenderLinearOp } from "../../program/program.ts";
import type { PreparedArea } from "./memory-plan.ts";
import { floatWord } from "./tape-codes.ts";
import { preparedRegion, rowsCode, type TapeWriter } from "./tape-writer.ts";
import { columnOrderOf } from "./column-order.ts";
import { opColumns, passTokens, tenderActivations } from "./tender-layout.ts";
import { panelCount } from "./weight-layout.ts";

/** Appends the op's instructions. */
export function appendTenderLinear(tape: TapeWriter, op: TenderLinearOp): void {
  const { plan } = tape;
  const decode = tape.mode === "decode";
  const activations = tenderActivations(op, plan.orders);
  const area = plan.prepared.get(activations.name);
  if (area === undefined) throw new Error(`tape: no area for ${activations.name} activations`);
  prepare(tape, op, area);
  const weight = tape.weight(op.codes.name);
  const out = tape.buffer(op.out);
  const panels = panelCount(op.codes.rows);
  tape.kernels.push(`tender_linear_${weight.layout.name}_${activations.name}_${decode ? "row" : "tile"}`);
  tape.emit(
    layout.OP_TENDER_LINEAR,
    [
      rowsCode(op.x),
      weight.layout.code,
      weight.address,
      panels,
      opColumns(op, plan.orders),
      activations.code,
      decode ? area.rows : area.tiles,
      decode ? area.rowStride : 0,
      out.address,
      out.stride,
      tape.address(op.scales.name),
      op.offset === undefined ? plan.zeros : tape.address(op.offset.name),
      op.offset === undefined ? 0 : 4 * op.codes.rows,
      plan.panelScratch,
      plan.panelScratchStride,
      passTokens(op, plan.orders),
      tape.batchCounter(),
    ],
    {
      reads: decode ? [] : [{ region: preparedRegion(activations), access: "whole" }],
      writes: [{ region: op.out.name, access: tape.panelAccess(panels) }],
    },
  );
}

/** Makes sure the area holds x as this op's quantizer codes it. */
function prepare(tape: TapeWriter, op: TenderLinearOp, area: PreparedArea): void {
  const { plan } = tape;
  const decode = tape.mode === "decode";
  const { x, quantizer } = op;
  const activations = tenderActivations(op, plan.orders);
  const columns = opColumns(op, plan.orders);
  const order = columnOrderOf(op, plan.orders);
  if (tape.holds(activations.name, x, quantizer.name)) return;
  const place = tape.buffer(x);
  const tables = quantizer.kind === "static" ? quantizer : undefined;
  const table = (name: string | undefined) => (name === undefined ? plan.zeros : tape.address(name));
  tape.emit(
    layout.OP_TENDER_ACTIVATIONS,
    [
      rowsCode(x),
      tape.split(),
      activations.code,
      place.address,
      place.stride,
      x.width,
      columns,
      table(tables?.bias?.name),
      tables?.bias === undefined ? 0 : 4 * x.width,
      table(tables?.exponents.name),
      tables === undefined ? 0 : 4 * x.width,
      tables === undefined ? 0 : tape.address(tables.scales.name),
      floatWord(quantizer.limit),
      tables?.chunkRows ?? 1,
      tables?.chunks ?? 1,
      decode ? area.rows : area.tiles,
      decode ? area.rowStride : 0,
      tape.threadStride(x),
      order?.address ?? 0,
    ],
    {
      reads: [tape.rowTouch(x)],
      writes: decode ? [] : [{ region: preparedRegion(activations), access: "tiles" }],
    },
  );
}
