/**
 * The part of the memory plan that weights need: which layout each is stored in,
 * in which order of columns, and where.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { PANEL_ROWS, Q4_COLUMN_UNIT_ROWS } from "../../kernels/layout.ts";
import { storedTensor } from "../../models/decoded-rows.ts";
import { linearColumnsOps } from "../../program/column-ops.ts";
import { programWeights } from "../../program/dataflow.ts";
import type { Program, Weight } from "../../program/program.ts";
import type { ExecutorOptions } from "../executor.ts";
import { type ColumnOrders, orderNames, type PlacedOrder } from "./column-order.ts";
import { columnWeightNames } from "./column-plan.ts";
import { type Layouter, roundUp } from "./shared-memory.ts";
import { orderedLayout } from "./tender-layout.ts";
import { densePanelBytes, packedBytes, rowLayout, type WeightLayout, weightLayout } from "./weight-layout.ts";

/** A matrix (with its kernel layout) or an f32 vector (layout undefined). */
export interface PlacedWeight {
  readonly weight: Weight;
  readonly layout: WeightLayout | undefined;
  /** The order that columns are stored in, where it is not that of the file. */
  readonly order: PlacedOrder | undefined;
  readonly address: number;
  readonly bytes: number;
}

/** A weight before it has a place. */
export interface ListedWeight {
  readonly weight: Weight;
  readonly layout: WeightLayout | undefined;
  /** Name of the order that columns are stored in. */
  readonly order?: string | undefined;
}

/** Matrices are what embed and linear ops multiply with; all other weights are f32 vectors. */
export function listWeights(
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
  columnOrders: ColumnOrders,
): readonly ListedWeight[] {
  const ordered = orderNames(program, columnOrders);
  const matrices = new Set<string>();
  const byRows = new Set<string>();
  for (const op of program.ops) {
    if (op.kind === "embed") matrices.add(op.table.name);
    if (op.kind === "linear") matrices.add(op.weight.name);
    if (op.kind === "tenderLinear") matrices.add(op.codes.name);
    if (op.kind === "linearRows") byRows.add(op.weight.name);
  }
  const byColumns = columnWeightNames(program);
  const others = programWeights(program).filter(({ name }) => !byColumns.has(name) || matrices.has(name));
  return others.map((weight) => {
    const tensor = storedTensor(file, weight);
    if (byRows.has(weight.name)) {
      return { weight, layout: rowLayout(weight, tensor.format, options.weightFormat) };
    }
    const order = ordered.get(weight.name);
    const columnOrder = order === undefined ? undefined : columnOrders.get(order);
    if (columnOrder !== undefined) return { weight, layout: orderedLayout(columnOrder), order };
    const layout = matrices.has(weight.name)
      ? weightLayout(weight, tensor.format, options.weightFormat)
      : undefined;
    return { weight, layout };
  });
}

export function placeOrders(orders: ColumnOrders, space: Layouter): ReadonlyMap<string, PlacedOrder> {
  return new Map(
    [...orders].map(([name, order]) => {
      return [name, { ...order, address: space.take(order.places.byteLength) }];
    }),
  );
}

/** Weights that are the same rows of the same tensor (tied heads) share one place. */
export function placeWeights(
  placed: readonly ListedWeight[],
  orders: ReadonlyMap<string, PlacedOrder>,
  space: Layouter,
): ReadonlyMap<string, PlacedWeight> {
  const byRows = new Map<string, PlacedWeight>();
  const byName = new Map<string, PlacedWeight>();
  for (const { weight, layout, order } of placed) {
    const { tensor, firstRow, rows, columns } = weight;
    const key = JSON.stringify([tensor, firstRow, rows, columns, layout?.packKernel, order]);
    let place = byRows.get(key);
    if (place === undefined) {
      const bytes =
        layout === undefined ? 4 * roundUp(rows * columns, PANEL_ROWS) : packedBytes(weight, layout);
      const placedOrder = order === undefined ? undefined : orders.get(order);
      place = { weight, layout, order: placedOrder, address: space.take(bytes), bytes };
      byRows.set(key, place);
    }
    byName.set(weight.name, place);
  }
  return byName;
}

/** f32 rows of a panel, or of the largest unit of a matrix that is read by columns. */
export function conversionBytes(program: Program, placed: readonly ListedWeight[]): number {
  const panels = placed.map(({ weight }) => PANEL_ROWS * weight.columns);
  const units = linearColumnsOps(program).map(({ x }) => Q4_COLUMN_UNIT_ROWS * x.width);
  return 4 * Math.max(0, ...panels, ...units);
}

/** Where a thread packs a panel of rows that are otherwise chosen one by one. */
export function rowPanelBytes(placed: readonly ListedWeight[]): number {
  const bytes = placed.map(({ weight, layout }) =>
    layout?.packKernel === "copy_rows" ? densePanelBytes(layout, weight.columns) : 0,
  );
  return Math.max(0, ...bytes);
}
