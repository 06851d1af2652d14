/**
 * Gated feed-forwards in a program, and their form in which neurons are chosen by what one of gate and up gives: that one is
 * computed densely, of the other only rows of chosen neurons, of down only their columns. Shared by the methods that skip
 * neurons (ProSparse, gate and up pruning, CATS), which differ in how they choose.
 */
import { UnsupportedError } from "../errors.ts";
import type { Selection } from "../program/column-ops.ts";
import { buffersWritten } from "../program/dataflow.ts";
import type { Activation, GluOp, LinearOp, Op, Program } from "../program/program.ts";
import { layerOfPart } from "../program/weight-names.ts";

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
    const down = reader(ops, glu, (later) => later.kind === "linear");
    const [gateOp, upOp] = [ops[gate], ops[up]];
    if (gateOp?.kind !== "linear" || upOp?.kind !== "linear" || down < 0) return [];
    if (gateOp.x.name !== upOp.x.name) return [];
    const layer = layerOfPart(gateOp.weight.name, "feedForward.gate");
    return layer === undefined ? [] : [{ layer, gate, up, glu, down }];
  });
}

/**
 * The units of a program in all of which neurons can be chosen so. UnsupportedError where another method has
 * replaced some, some have biases, or none exist.
 */
export function requireGatedUnits(program: Program, by: NeuronChoice["by"]): GatedUnit[] {
  const units = findGatedUnits(program).filter((unit) => canChoose(program, unit, by));
  const gated = program.ops.filter(({ kind }) => kind === "glu").length;
  if (units.length > 0 && units.length === gated) return units;
  throw new UnsupportedError(
    `${program.name}: ${units.length} of ${gated} gated feed-forwards are plain linears whose neurons can be chosen by ${by}, expected all and at least one - use a model with gated feed-forwards without biases, before it is compressed`,
  );
}

/** Indices of the ops of a gated feed-forward that another method reads by chosen columns of its inputs. */
export interface ColumnUnit {
  readonly layer: number;
  readonly glu: number;
  /** The choice of columns of down, where there is one. */
  readonly choice: number | undefined;
  readonly down: number;
}

/** Units of which gate and up are computed for every neuron and some linear reads chosen columns, layer by layer. */
export function findColumnUnits({ ops }: Program): ColumnUnit[] {
  return ops.flatMap((op, glu): ColumnUnit[] => {
    if (op.kind !== "glu") return [];
    const sources = [op.gate, op.up].map(({ name }) => ops[lastWriter(ops, name, glu)]?.kind);
    if (!sources.every((kind) => kind === "linear" || kind === "linearColumns")) return [];
    const down = reader(ops, glu, ({ kind }) => kind === "linear" || kind === "linearColumns");
    const product = ops[down];
    if (product?.kind !== "linear" && product?.kind !== "linearColumns") return [];
    const chosen = product.kind === "linearColumns";
    if (chosen ? isLive(product.selection) : !sources.includes("linearColumns")) return [];
    const weight = chosen ? product.parts[0].weight : product.weight;
    const layer = layerOfPart(weight.name, "feedForward.down");
    const choice = reader(ops, glu, ({ kind }) => kind === "selectColumns");
    return layer === undefined ? [] : [{ layer, glu, choice: chosen ? choice : undefined, down }];
  });
}

/** Whether the open gates have had their say already. */
function isLive({ rule, among }: Selection): boolean {
  return rule.kind === "gate" || among !== undefined;
}

/** By index, the ops that replace those of a unit whose choice of down's columns stays within `live`. */
export function narrowColumns(
  { ops }: Program,
  { glu, choice, down }: ColumnUnit,
  live: Selection,
): readonly (readonly [number, readonly Op[]])[] {
  const unit = ops[glu] as GluOp;
  const open: readonly Op[] = [{ kind: "selectColumns", x: unit.gate, out: live }, unit];
  const product = ops[down];
  const chooser = choice === undefined ? undefined : ops[choice];
  if (chooser?.kind === "selectColumns" && choice !== undefined && product.kind === "linearColumns") {
    const name = `${live.name}.${chooser.out.name}`;
    const selection: Selection = { ...chooser.out, name, among: live };
    return [
      [glu, open],
      [choice, [{ ...chooser, out: selection }]],
      [down, [{ ...product, selection }]],
    ];
  }
  const { x, weight, bias, out } = product as LinearOp;
  return [
    [glu, open],
    [down, [{ kind: "linearColumns", x, selection: live, parts: [{ weight, bias, out }] }]],
  ];
}

/** The activation of a unit. */
export function activationOf({ ops }: Program, unit: Pick<GatedUnit, "glu">): Activation {
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

/** Index of the first op of a kind that multiplies what the GLU at `glu` gives, before the buffer is used again; -1 without one. */
function reader(ops: readonly Op[], glu: number, wanted: (op: Op) => boolean): number {
  const { out } = ops[glu] as GluOp;
  const next = ops.findIndex((op, i) => i > glu && buffersWritten(op).some(({ name }) => name === out.name));
  const found = ops.findIndex((op, i) => i > glu && wanted(op) && "x" in op && op.x.name === out.name);
  return next < 0 || found <= next ? found : -1;
}

/** Index of the last op before `end` that writes a buffer, -1 when none does. */
function lastWriter(ops: readonly Op[], name: string, end: number): number {
  return ops.slice(0, end).findLastIndex((op) => buffersWritten(op).some((buffer) => buffer.name === name));
}
