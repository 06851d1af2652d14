/**
 * The part of the memory plan that column ops need: their weights, selections, scratch,
 * activation tiles and counters.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { TILE_TOKENS } from "../../kernels/layout.ts";
import { storedTensor } from "../../models/decoded-rows.ts";
import { type LinearColumnsOp, linearColumnsOps } from "../../program/column-ops.ts";
import type { Program } from "../../program/program.ts";
import type { FetchPlan } from "../column-store.ts";
import type { ExecutorOptions } from "../executor.ts";
import {
  type ColumnLayout,
  columnBytes,
  columnLayout,
  columnScratchBytes,
  columnTileBytes,
  type PlacedColumns,
  STORED_COLUMNS,
  unitCount,
} from "./column-layout.ts";
import type { Layouter, ThreadArea } from "./shared-memory.ts";

/** Everything but the weights, which lie with the other weights. */
export interface ColumnAreas {
  /** A count and indices, by name of the selection. */
  readonly selections: ReadonlyMap<string, ThreadArea>;
  readonly scratch: ThreadArea;
  readonly tiles: number;
  /** Bytes read through selections, an i64 per thread, 64 bytes apart. */
  readonly counters: number;
}

/** Names of matrices that are read by columns. */
export function columnWeightNames(program: Program): ReadonlySet<string> {
  return new Set(linearColumnsOps(program).flatMap(({ parts }) => parts.map(({ weight }) => weight.name)));
}

/**
 * Areas of a program; undefined when it has no column ops.
 * `rows` is the most tokens of a step in whole tiles.
 */
export function placeColumnAreas(
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
  rows: number,
  space: Layouter,
): ColumnAreas | undefined {
  const ops = linearColumnsOps(program);
  if (ops.length === 0) return undefined;
  const perThread = (bytes: number) => space.takePerThread(bytes, options.threads);
  // Of every choice that is made, also those that only narrow later ones.
  const chosen = program.ops.flatMap((op) => (op.kind === "selectColumns" ? [op.out] : []));
  const widths = new Map(chosen.map(({ name, width }) => [name, width]));
  const tile = Math.max(
    ...ops.map((op) => columnTileBytes(layoutOf(op, file, options), op.parts[0].weight.columns)),
  );
  return {
    // A count in 16 bytes, then one index more than there can be: the last is written and not counted.
    selections: new Map([...widths].map(([name, width]) => [name, perThread(16 + 4 * (width + 1))])),
    scratch: perThread(
      Math.max(...ops.map(({ parts }) => columnScratchBytes(parts[0].weight, parts.length))),
    ),
    tiles: space.take((tile * rows) / TILE_TOKENS),
    counters: space.take(64 * options.threads),
  };
}

/**
 * Places each op's parts together; ops that share their weights share the place. By name of each weight.
 * Columns that the store holds get room for their scales only; `placeFetched` completes them.
 */
export function placeColumnWeights(
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
  space: Layouter,
): ReadonlyMap<string, PlacedColumns> {
  const byName = new Map<string, PlacedColumns>();
  for (const op of linearColumnsOps(program)) {
    const weights = op.parts.map(({ weight }) => weight);
    if (byName.has(weights[0].name)) continue;
    const layout = layoutOf(op, file, options);
    const { scales, data } = columnBytes(weights, layout);
    const fetched = options.columnStore?.find(weights.map(({ name }) => name)) !== undefined;
    const placed: PlacedColumns = {
      weights,
      layout,
      scales: space.take(scales),
      data: fetched ? 0 : space.take(data),
      stride: data / weights[0].columns,
      units: unitCount(weights[0].rows, layout),
      bytes: scales + (fetched ? 0 : data),
      site: undefined,
    };
    for (const { name } of weights) byName.set(name, placed);
  }
  return byName;
}

/** The same places with those of fetched columns completed. */
export function placeFetched(
  placed: ReadonlyMap<string, PlacedColumns>,
  { sites }: FetchPlan,
): ReadonlyMap<string, PlacedColumns> {
  const complete = new Map(placed);
  for (const [site, { stored, transit }] of sites.entries()) {
    const place = placed.get(stored.weights[0]);
    if (place === undefined) throw new Error(`column plan: ${stored.weights[0]} has no place`);
    const fetched = { ...place, data: transit, stride: stored.stride, site };
    for (const name of stored.weights) complete.set(name, fetched);
  }
  return complete;
}

/** Parts may come in different formats; the first one's decides. */
function layoutOf(op: LinearColumnsOp, file: ModelFile, options: ExecutorOptions): ColumnLayout {
  const stored = options.columnStore?.find(op.parts.map(({ weight }) => weight.name));
  if (stored !== undefined) return STORED_COLUMNS[stored.storage];
  return columnLayout(storedTensor(file, op.parts[0].weight).format, options.weightFormat);
}
