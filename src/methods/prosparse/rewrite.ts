/**
 * Exact sparse feed-forward (ProSparse, arXiv 2402.13516, section on acceleration, without predictors): the gate is computed
 * densely, its zeros name the neurons that do nothing, and only the other neurons' rows of up and columns of down are read.
 * Nothing is approximated: what is skipped would have been multiplied by zero.
 */
import { UnsupportedError } from "../../errors.ts";
import type { Selection } from "../../program/column-ops.ts";
import { buffersWritten } from "../../program/dataflow.ts";
import type { Activation, GluOp, LinearOp, Op, Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import type { ProSparseRecipe } from "./recipe.ts";

/** A gated feed-forward: indices of its ops in the program. */
interface FeedForward {
  readonly layer: number;
  readonly gate: number;
  readonly up: number;
  readonly glu: number;
  readonly down: number;
}

/** Throws UnsupportedError for activations that are never exactly zero and for layers that another method has replaced. */
export function rewriteNeurons(program: Program, recipe: ProSparseRecipe): Program {
  const units = findFeedForwards(program);
  const replaced = new Map<number, readonly Op[]>();
  for (const { layer, liveShare } of recipe.layers) {
    const unit = units.find((candidate) => candidate.layer === layer);
    if (unit === undefined) {
      throw new UnsupportedError(
        `${program.name}: layer ${layer} has no gated feed-forward of plain linears, expected one whose neurons can be skipped - another method has replaced it or the layer does not exist`,
      );
    }
    for (const [index, ops] of sparseOps(program, unit, liveShare)) replaced.set(index, ops);
  }
  return validateProgram({ ...program, ops: program.ops.flatMap((op, i) => replaced.get(i) ?? [op]) });
}

/** Layers whose neurons could be skipped. Throws UnsupportedError when the activation is never exactly zero. */
export function sparseLayers(program: Program): number[] {
  const units = findFeedForwards(program);
  if (units.length === 0) {
    throw new UnsupportedError(
      `${program.name}: has no gated feed-forward of plain linears left, expected one whose neurons can be skipped - skip neurons before compress tender, and instead of compress dip`,
    );
  }
  for (const { glu } of units) gateThreshold(program, (program.ops[glu] as GluOp).activation);
  return units.map(({ layer }) => layer);
}

function sparseOps(
  program: Program,
  { layer, gate, up, glu, down }: FeedForward,
  liveShare: number,
): [number, readonly Op[]][] {
  const [gateOp, upOp, unit, downOp] = [gate, up, glu, down].map((i) => program.ops[i]) as [
    LinearOp,
    LinearOp,
    GluOp,
    LinearOp,
  ];
  const threshold = gateThreshold(program, unit.activation);
  const selection: Selection = {
    name: `layers.${layer}.neurons`,
    width: unit.out.width,
    rule: { kind: "gate", threshold, share: liveShare },
  };
  const choose: Op = { kind: "selectColumns", x: gateOp.out, out: selection };
  const rows: Op = { kind: "linearRows", x: upOp.x, selection, weight: upOp.weight, out: upOp.out };
  const { x, weight, bias, out } = downOp;
  const columns: Op = { kind: "linearColumns", x, selection, parts: [{ weight, bias, out }] };
  // The choice follows the gate, whichever of gate and up stands first.
  return gate < up
    ? [
        [gate, [gateOp, choose]],
        [up, [rows]],
        [down, [columns]],
      ]
    : [
        [up, []],
        [gate, [gateOp, choose, rows]],
        [down, [columns]],
      ];
}

function gateThreshold(program: Program, activation: Activation): number {
  if (activation.kind === "relu") return 0;
  if (activation.kind === "fatrelu") return activation.threshold;
  throw new UnsupportedError(
    `${program.name}: the feed-forward activation is ${activation.kind}, expected relu or fatrelu, whose zeros can be skipped exactly - train with skim train prosparse, or use compress dip`,
  );
}

function findFeedForwards({ ops }: Program): FeedForward[] {
  return ops.flatMap((op, glu): FeedForward[] => {
    if (op.kind !== "glu") return [];
    const gate = lastWriter(ops, op.gate.name, glu);
    const up = lastWriter(ops, op.up.name, glu);
    const down = ops.findIndex(
      (later, i) => i > glu && later.kind === "linear" && later.x.name === op.out.name,
    );
    const [gateOp, upOp] = [ops[gate], ops[up]];
    if (gateOp?.kind !== "linear" || upOp?.kind !== "linear" || down < 0) return [];
    if (gateOp.x.name !== upOp.x.name || upOp.bias !== undefined) return [];
    const layer = /^layers\.(\d+)\.feedForward\.gate$/.exec(gateOp.weight.name)?.[1];
    return layer === undefined ? [] : [{ layer: Number(layer), gate, up, glu, down }];
  });
}

/** Index of the last op before `end` that writes a buffer, -1 when none does. */
function lastWriter(ops: readonly Op[], name: string, end: number): number {
  return ops.slice(0, end).findLastIndex((op) => buffersWritten(op).some((buffer) => buffer.name === name));
}
