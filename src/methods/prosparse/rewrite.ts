/**
 * Exact sparse feed-forward (ProSparse, arXiv 2402.13516, section on acceleration, without predictors): the gate is computed
 * densely, its zeros name the neurons that do nothing, and only the other neurons' rows of up and columns of down are read.
 * Nothing is approximated: what is skipped would have been multiplied by zero. Where another method chooses columns of the
 * inputs (DIP), gate and up stay as it reads them, and its choice for down is made among the live neurons.
 */
import { UnsupportedError } from "../../errors.ts";
import type { Selection } from "../../program/column-ops.ts";
import type { Activation, Op, Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import {
  activationOf,
  canChoose,
  chooseNeurons,
  findColumnUnits,
  findGatedUnits,
  type GatedUnit,
  narrowColumns,
} from "../gated-units.ts";
import type { ProSparseRecipe } from "./recipe.ts";

/** Throws UnsupportedError for activations that are never exactly zero and for layers that another method has replaced. */
export function rewriteNeurons(program: Program, recipe: ProSparseRecipe): Program {
  const units = skippableUnits(program);
  const columnUnits = findColumnUnits(program);
  const replaced = new Map<number, readonly Op[]>();
  for (const { layer, liveShare } of recipe.layers) {
    const unit = units.find((candidate) => candidate.layer === layer);
    const columnUnit = columnUnits.find((candidate) => candidate.layer === layer);
    if (unit === undefined && columnUnit !== undefined) {
      const live = liveNeurons(program, columnUnit, liveShare);
      for (const [index, ops] of narrowColumns(program, columnUnit, live)) replaced.set(index, ops);
      continue;
    }
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
  const units = [...skippableUnits(program), ...findColumnUnits(program)].sort((a, b) => a.glu - b.glu);
  if (units.length === 0) {
    throw new UnsupportedError(
      `${program.name}: has no gated feed-forward of plain linears left, expected one whose neurons can be skipped - skip neurons once, and before compress tender`,
    );
  }
  for (const unit of units) gateThreshold(program, activationOf(program, unit));
  return units.map(({ layer }) => layer);
}

function skippableUnits(program: Program): GatedUnit[] {
  return findGatedUnits(program).filter((unit) => canChoose(program, unit, "gate"));
}

function sparseOps(program: Program, unit: GatedUnit, liveShare: number) {
  const selection = liveNeurons(program, unit, liveShare);
  return chooseNeurons(program, unit, {
    by: "gate",
    selection,
    choose: (gate) => [{ kind: "selectColumns", x: gate.out, out: selection }],
  });
}

/** The neurons whose gate is open. */
function liveNeurons(program: Program, unit: Pick<GatedUnit, "layer" | "glu">, liveShare: number): Selection {
  const threshold = gateThreshold(program, activationOf(program, unit));
  const { width } = (program.ops[unit.glu] as Extract<Op, { kind: "glu" }>).out;
  return {
    name: `layers.${unit.layer}.neurons`,
    width,
    rule: { kind: "gate", threshold, share: liveShare },
  };
}

function gateThreshold(program: Program, activation: Activation): number {
  if (activation.kind === "relu") return 0;
  if (activation.kind === "fatrelu") return activation.threshold;
  throw new UnsupportedError(
    `${program.name}: the feed-forward activation is ${activation.kind}, expected relu or fatrelu, whose zeros can be skipped exactly - train with skim train prosparse, or use compress dip`,
  );
}
