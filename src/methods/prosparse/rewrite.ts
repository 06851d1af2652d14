/**
 * Exact sparse feed-forward (ProSparse, arXiv 2402.13516, section on acceleration, without predictors): the gate is computed
 * densely, its zeros name the neurons that do nothing, and only the other neurons' rows of up and columns of down are read.
 * Nothing is approximated: what is skipped would have been multiplied by zero. Where another method chooses columns of the
 * inputs (DIP), gate and up stay as it reads them, and its choice for down is made among the live neurons.
 */
import { FormatError, UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Selection } from "../../program/column-ops.ts";
import type { Activation, Buffer, LinearOp, Op, Program } from "../../program/program.ts";
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
import { type ProSparseRecipe, predictorTensors } from "./recipe.ts";

/**
 * Throws UnsupportedError for activations that are never exactly zero and for layers that another method has replaced,
 * FormatError for predictors that `tensors`, the file's, do not hold.
 */
export function rewriteNeurons(
  program: Program,
  recipe: ProSparseRecipe,
  tensors?: ModelFile["tensors"],
): Program {
  const units = skippableUnits(program);
  const columnUnits = findColumnUnits(program);
  const replaced = new Map<number, readonly Op[]>();
  for (const sparse of recipe.layers) {
    const { layer, liveShare } = sparse;
    const unit = units.find((candidate) => candidate.layer === layer);
    if (sparse.predictor !== undefined) {
      const predicted = predictedOps(program, layer, unit, sparse.predictor);
      if (tensors !== undefined) checkPredictor(program.name, predicted, tensors);
      for (const [index, ops] of predicted) replaced.set(index, ops);
      continue;
    }
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

/**
 * Approximate mode: two small linears choose the neurons from the gate's own input, and gate, up and down are read for these
 * alone. Where the chosen gate is closed after all, its neuron adds zero; a live neuron that was not chosen is missing.
 */
function predictedOps(
  program: Program,
  layer: number,
  unit: GatedUnit | undefined,
  { rank, predictedShare }: NonNullable<ProSparseRecipe["layers"][number]["predictor"]>,
): readonly (readonly [number, readonly Op[]])[] {
  if (unit === undefined || !canChoose(program, unit, "up")) {
    throw new UnsupportedError(
      `${program.name}: layer ${layer} has no gated feed-forward of plain linears without biases, expected one whose neurons a predictor can choose`,
    );
  }
  gateThreshold(program, activationOf(program, unit));
  const [gate, up, down] = [unit.gate, unit.up, unit.down].map((i) => program.ops[i] as LinearOp);
  const { x, out } = gate;
  const name = `layers.${layer}.feedForward.predictor`;
  const tensors = predictorTensors(layer);
  const hidden: Buffer = { name: "predictor.hidden", rows: x.rows, width: rank }; // [T, rank]
  const open: Buffer = { ...hidden, name: "predictor.open" }; // [T, rank]
  const logits: Buffer = { ...out, name: "predictor.logits" }; // [T, F]
  const inner = { name: `${name}.inner`, tensor: tensors.inner, firstRow: 0, rows: rank, columns: x.width };
  const outer = { name: `${name}.outer`, tensor: tensors.outer, firstRow: 0, rows: out.width, columns: rank };
  const selection: Selection = {
    name: `layers.${layer}.neurons`,
    width: out.width,
    rule: { kind: "gate", threshold: 0, share: predictedShare },
  };
  const rowsOf = (op: LinearOp): Op => ({
    kind: "linearRows",
    x: op.x,
    selection,
    weight: op.weight,
    out: op.out,
  });
  const choose: readonly Op[] = [
    { kind: "linear", x, weight: inner, bias: undefined, out: hidden },
    { kind: "activate", x: hidden, out: open, activation: { kind: "relu" } },
    { kind: "linear", x: open, weight: outer, bias: undefined, out: logits },
    { kind: "selectColumns", x: logits, out: selection },
  ];
  const [first, second] = unit.gate < unit.up ? [unit.gate, unit.up] : [unit.up, unit.gate];
  const [firstOp, secondOp] = unit.gate < unit.up ? [gate, up] : [up, gate];
  const parts = [{ weight: down.weight, bias: down.bias, out: down.out }];
  return [
    [first, [...choose, rowsOf(firstOp)]],
    [second, [rowsOf(secondOp)]],
    [unit.down, [{ kind: "linearColumns", x: down.x, selection, parts }]],
  ];
}

function checkPredictor(
  name: string,
  ops: readonly (readonly [number, readonly Op[]])[],
  tensors: ModelFile["tensors"],
): void {
  for (const op of ops.flatMap(([, replacing]) => replacing)) {
    if (op.kind !== "linear") continue;
    const { tensor, rows, columns } = op.weight;
    const shape = tensors.get(tensor)?.shape ?? [];
    if (shape.join() === `${rows},${columns}`) continue;
    throw new FormatError(
      `${name}: tensor ${tensor} of a predictor, expected [${rows}, ${columns}], got ${shape.length === 0 ? "none" : `[${shape.join(", ")}]`} - make the folder again with skim compress prosparse --predictor`,
    );
  }
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
