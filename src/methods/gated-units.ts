/**
 * Gated feed-forwards in a program, and their form in which neurons are chosen by what one of gate and up gives: that one is
 * computed densely, of the other only rows of chosen neurons, of down only their columns. Shared by the methods that skip
 * neurons (ProSparse, gate and up pruning, CATS), which differ in how they choose.
 */
import type { Selection } from "../program/column-ops.ts";
import { buffersWritten } from "../program/dataflow.ts";
import type { Activation, GluOp, LinearOp, Op, Program } from "../program/program.ts";

/** Indices of a gated feed-forward's ops in the program. */
export interface GatedUnit {
  readonly layer: number;
  readonly gate: number;
  readonly up: number;
  readonly glu: number;
  readonly down: number;
}

/** Units of plain linears, layer by layer; what another method has replaced is not among them. */
export function findGatedUnits({ ops }: Program): GatedUnit[] {
  return ops.flatMap((op, glu): GatedUnit[] => {
    if (op.kind !== "glu") return [];
    const gate = lastWriter(ops, op.gate.name, glu);
    const up = lastWriter(ops, op.up.name, glu);
    const down = ops.findIndex(
      (later, i) => i > glu && later.kind === "linear" && later.x.name === op.out.name,
    );
    const [gateOp, upOp] = [ops[gate], ops[up]];
    if (gateOp?.kind !== "linear" || upOp?.kind !== "linear" || down < 0) return [];
    if (gateOp.x.name !== upOp.x.name) return [];
    const layer = /^layers\.(\d+)\.feedForward\.gate$/.exec(gateOp.weight.name)?.[1];
    return layer === undefined ? [] : [{ layer: Number(layer), gate, up, glu, down }];
  });
}

/** The activation of a unit. */
export function activationOf({ ops }: Program, unit: GatedUnit): Activation {
  return (ops[unit.glu] as GluOp).activation;
}

/** What makes a choice of neurons: the dense matrix and the ops that choose by its result. */
export interface NeuronChoice {
  readonly by: "gate" | "up";
  readonly selection: Selection;
  /** Ops after the dense product that make the selection. */
  readonly choose: (dense: LinearOp) => readonly Op[];
}

/** Whether the matrix that is read by rows has no bias, which such products do not have. */
export function canChoose({ ops }: Program, unit: GatedUnit, by: NeuronChoice["by"]): boolean {
  return (ops[by === "gate" ? unit.up : unit.gate] as LinearOp).bias === undefined;
}

/** By index, the ops that replace those of a unit for which `canChoose` holds. */
export function chooseNeurons(
  { ops }: Program,
  unit: GatedUnit,
  { by, selection, choose }: NeuronChoice,
): readonly (readonly [number, readonly Op[]])[] {
  const [dense, other] = by === "gate" ? [unit.gate, unit.up] : [unit.up, unit.gate];
  const [denseOp, otherOp, downOp] = [dense, other, unit.down].map((i) => ops[i] as LinearOp);
  const chosen: readonly Op[] = [denseOp, ...choose(denseOp)];
  const rows: Op = {
    kind: "linearRows",
    x: otherOp.x,
    selection,
    weight: otherOp.weight,
    out: otherOp.out,
  };
  const { x, weight, bias, out } = downOp;
  const columns: Op = { kind: "linearColumns", x, selection, parts: [{ weight, bias, out }] };
  // The choice follows the dense product, whichever of gate and up stands first.
  return dense < other
    ? [
        [dense, chosen],
        [other, [rows]],
        [unit.down, [columns]],
      ]
    : [
        [other, []],
        [dense, [...chosen, rows]],
        [unit.down, [columns]],
      ];
}

/** Index of the last op before `end` that writes a buffer, -1 when none does. */
function lastWriter(ops: readonly Op[], name: string, end: number): number {
  return ops.slice(0, end).findLastIndex((op) => buffersWritten(op).some((buffer) => buffer.name === name));
}
