/**
 * Replaces linears by a choice of columns and a product over the chosen ones (Dynamic Input Pruning, arXiv 2412.01380,
 * Eq. 7-8; thresholds as in TEAL), or by a choice of neurons (gate and up pruning, CATS). Works on any program whose
 * layers name their weights as the families do; gate and up that read the same input share one choice and are read
 * together.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ColumnPart, Selection, SelectionRule } from "../../program/column-ops.ts";
import type { Buffer, LinearOp, Op, Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { layerOfPart, layerWeight } from "../../program/weight-names.ts";
import { activationOf, chooseNeurons, type GatedUnit, requireGatedUnits } from "../gated-units.ts";
import { keptCount } from "./densities.ts";
import type { ColumnChoice, ColumnRecipe } from "./recipe.ts";

/** A place in a layer whose linears share one choice of columns. */
export type Site = "input" | "glu" | "attentionInput" | "attended";

/** Which choice a weight's input falls under, by the weight's name in the program. */
const SITES: Readonly<Record<string, Site>> = {
  "feedForward.gate": "input",
  "feedForward.up": "input",
  "feedForward.down": "glu",
  "attention.query": "attentionInput",
  "attention.key": "attentionInput",
  "attention.value": "attentionInput",
  "attention.output": "attended",
};

/** Most parts that lie together; further linears of the same input make further ops over the same choice. */
const MAX_PARTS = 2;

/**
 * The program with the recipe's choices in it, validated. Throws UnsupportedError when a choice finds no linear to apply
 * to (no gated feed-forward) or has thresholds for another number of layers.
 */
export function rewriteColumns(program: Program, recipe: ColumnRecipe): Program {
  const found = new Set<Site>();
  const source = recipe.neurons === undefined ? program : prune(program, recipe, recipe.neurons);
  const ops: Op[] = [];
  for (let i = 0; i < source.ops.length; ) {
    const narrowed = chooseAmongLive(source.ops[i], recipe);
    if (narrowed !== undefined) {
      found.add("glu");
      ops.push(...narrowed);
      i++;
      continue;
    }
    const group = linearsOfOneInput(source.ops, i, recipe);
    if (group === undefined) {
      ops.push(source.ops[i++]);
      continue;
    }
    found.add(group.site);
    ops.push(...chosenLinears(group));
    i += group.linears.length;
  }
  for (const site of ["input", "glu", "attentionInput", "attended"] as const) {
    const choice = recipe[site];
    if (choice === undefined) continue;
    if (!found.has(site) || (site === "input" && readsGateByRows(source))) throw noPlace(program, site);
    checkLayers(program, site, choice, layerCount(program));
  }
  return validateProgram({ ...program, ops });
}

interface Group {
  readonly site: Site;
  readonly layer: number;
  readonly choice: ColumnChoice;
  readonly linears: readonly LinearOp[];
}

/** Consecutive linears from `first` on that read the same input under the same choice. */
function linearsOfOneInput(ops: readonly Op[], first: number, recipe: ColumnRecipe): Group | undefined {
  const start = siteOf(ops[first]);
  const choice = start === undefined ? undefined : recipe[start.site];
  if (start === undefined || choice === undefined) return undefined;
  const linears = [start.op];
  for (let i = first + 1; i < ops.length; i++) {
    const next = siteOf(ops[i]);
    if (next?.site !== start.site || next.op.x.name !== start.op.x.name) break;
    linears.push(next.op);
  }
  return { site: start.site, layer: start.layer, choice, linears };
}

/** The linear and where it stands, where a choice could apply to it. */
export function siteOf(op: Op): { op: LinearOp; site: Site; layer: number } | undefined {
  if (op.kind !== "linear") return undefined;
  const place = layerWeight(op.weight.name);
  const site = place && SITES[place.part];
  return place === undefined || site === undefined ? undefined : { op, site, layer: place.layer };
}

function chosenLinears({ site, layer, choice, linears }: Group): readonly Op[] {
  const { x } = linears[0];
  const selection = selectionOf(site, layer, choice, x);
  const ops: Op[] = [{ kind: "selectColumns", x, out: selection }];
  let parts: ColumnPart[] = [];
  for (const { weight, bias, out } of linears) {
    if (parts.length === MAX_PARTS || (parts.length > 0 && parts[0].weight.rows !== weight.rows)) {
      ops.push({ kind: "linearColumns", x, selection, parts });
      parts = [];
    }
    parts.push({ weight, bias, out });
  }
  return [...ops, { kind: "linearColumns", x, selection, parts }];
}

/**
 * Down of a feed-forward whose open gates have chosen its neurons already (ProSparse): the choice for it is made among those,
 * as nothing else has been computed. Gate, if it still is a plain linear, gets its columns as anywhere.
 */
function chooseAmongLive(op: Op, { glu }: ColumnRecipe): readonly Op[] | undefined {
  if (op.kind !== "linearColumns" || glu === undefined || op.selection.rule.kind !== "gate") return undefined;
  const layer = layerOfPart(op.parts[0].weight.name, "feedForward.down");
  if (layer === undefined) return undefined;
  const own = selectionOf("glu", layer, glu, op.x);
  const selection: Selection = {
    ...own,
    name: `${op.selection.name}.${own.name}`,
    among: op.selection,
  };
  return [
    { kind: "selectColumns", x: op.x, out: selection },
    { ...op, selection },
  ];
}

/** Whether some gate is computed for chosen neurons only, so that its columns are no longer to be chosen. */
function readsGateByRows({ ops }: Program): boolean {
  return ops.some((op) => op.kind === "linearRows" && op.weight.name.endsWith(".feedForward.gate"));
}

/** Layers with the same rule share a name, and with it the memory for the indices. */
function selectionOf(site: Site, layer: number, choice: ColumnChoice, x: Buffer): Selection {
  const name = `${site}.columns`;
  if (choice.kind === "density") {
    const rule: SelectionRule = { kind: "topK", count: keptCount(choice.density, x.width) };
    return { name, width: x.width, rule };
  }
  return { name: `layers.${layer}.${name}`, width: x.width, rule: thresholdRule(choice, layer) };
}

function thresholdRule(choice: Extract<ColumnChoice, { kind: "thresholds" }>, layer: number): SelectionRule {
  const share = choice.shares?.[layer];
  const threshold = choice.thresholds[layer];
  return share === undefined ? { kind: "threshold", threshold } : { kind: "threshold", threshold, share };
}

/** Gate pruning, up pruning and CATS: every layer's neurons by what gate or up gives. */
function prune(
  program: Program,
  recipe: ColumnRecipe,
  { by, choice }: NonNullable<ColumnRecipe["neurons"]>,
): Program {
  if (recipe.input !== undefined || recipe.glu !== undefined) {
    throw new UnsupportedError(
      `${program.name}: the recipe chooses neurons by ${by} and columns of the same matrices, expected one of them - leave out input and glu, or neurons`,
    );
  }
  const units = requireGatedUnits(program, by);
  checkLayers(program, "neurons", choice, layerCount(program));
  const replaced = new Map(units.flatMap((unit) => prunedUnit(program, unit, by, choice)));
  return { ...program, ops: program.ops.flatMap((op, i) => replaced.get(i) ?? [op]) };
}

function prunedUnit(program: Program, unit: GatedUnit, by: "gate" | "up", choice: ColumnChoice) {
  const { width } = (program.ops[unit.gate] as LinearOp).out;
  const rule: SelectionRule =
    choice.kind === "density"
      ? { kind: "topK", count: keptCount(choice.density, width) }
      : thresholdRule(choice, unit.layer);
  const name = choice.kind === "density" ? "neurons" : `layers.${unit.layer}.neurons`;
  const selection: Selection = { name, width, rule };
  const choose = ({ out }: LinearOp): readonly Op[] => {
    if (by === "up") return [{ kind: "selectColumns", x: out, out: selection }];
    const activated: Buffer = { ...out, name: `${out.name}.activated` }; // [T, F]
    const activation = activationOf(program, unit);
    return [
      { kind: "activate", x: out, out: activated, activation },
      { kind: "selectColumns", x: activated, out: selection },
    ];
  };
  return chooseNeurons(program, unit, { by, selection, choose });
}

function noPlace(program: Program, site: Site): UnsupportedError {
  const wanted = Object.keys(SITES).filter((name) => SITES[name] === site);
  return new UnsupportedError(
    `${program.name}: no place for a choice of columns, expected linears named layers.N.${wanted.join(" or ")} - the method needs a ${site === "input" || site === "glu" ? "gated feed-forward" : "plain attention"} that no other method has replaced`,
  );
}

/** Layers that a recipe's thresholds must cover, those without linears of a site included. */
export function layerCount(program: Program): number {
  return program.ops.reduce((count, op) => Math.max(count, (siteOf(op)?.layer ?? -1) + 1), 0);
}

function checkLayers(program: Program, site: Site | "neurons", choice: ColumnChoice, layers: number): void {
  if (choice.kind !== "thresholds") return;
  for (const [what, { length }] of Object.entries({
    thresholds: choice.thresholds,
    shares: choice.shares ?? choice.thresholds,
  })) {
    if (length === layers) continue;
    throw new UnsupportedError(
      `${program.name}: ${what} of ${site}, expected one for each of ${layers} layers, got ${length}`,
    );
  }
}
