/**
 * Where everything lies in the executor's one shared memory, decided before anything is loaded: control block, step
 * arrays, rotary angles, activations, scratch, keys and values, weights. Nothing is allocated afterwards.
 */
import { ResourceError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import {
  ATTENTION_RUN,
  BLOCK_COLUMNS,
  CONTROL_BYTES,
  MOST_INTERVALS,
  PANEL_ROWS,
  Q4_COLUMN_UNIT_ROWS,
  SPAN_ROW_BYTES,
  TILE_TOKENS,
} from "../../kernels/layout.ts";
import { storedTensor } from "../../models/decoded-rows.ts";
import { linearColumnsOps } from "../../program/column-ops.ts";
import {
  programBuffers,
  programCaches,
  programRotaryTables,
  programWeights,
} from "../../program/dataflow.ts";
import type { Buffer, KeyValueCache, Program, Weight } from "../../program/program.ts";
import type { FetchPlan } from "../column-store.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { PlacedColumns } from "./column-layout.ts";
import { type ColumnOrders, orderNames, type PlacedOrder } from "./column-order.ts";
import { type ChoicePlan, placeChoices } from "./choice-plan.ts";
import {
  type ColumnAreas,
  columnWeightNames,
  placeColumnAreas,
  placeColumnWeights,
  placeFetched,
} from "./column-plan.ts";
import { placeFetches } from "./fetch-plan.ts";
import { Layouter, LINE_BYTES, MAX_BYTES, PAGE_BYTES } from "./shared-memory.ts";
import { opColumns, orderedLayout, panelScratchBytes, tenderActivations } from "./tender-layout.ts";
import {
  type ActivationLayout,
  densePanelBytes,
  packedBytes,
  rowLayout,
  type WeightLayout,
  weightLayout,
} from "./weight-layout.ts";

/** Bytes behind the last region that kernels may read, whose values never matter. */
const READ_MARGIN = 256;
/** Rows in their file format on the way to the pack kernels; two, so that reading and packing overlap. */
export const STAGING_BYTES = 8 << 20;

export interface PlacedBuffer {
  readonly address: number;
  /** Bytes from one row to the next: the width rounded up to a panel. */
  readonly stride: number;
}

export interface PlacedCache {
  readonly keys: number;
  readonly values: number;
  readonly slotBytes: number;
}

/** A matrix (with its kernel layout) or an f32 vector (layout undefined). */
export interface PlacedWeight {
  readonly weight: Weight;
  readonly layout: WeightLayout | undefined;
  /** The order that columns are stored in, where it is not that of the file. */
  readonly order: PlacedOrder | undefined;
  readonly address: number;
  readonly bytes: number;
}

/** Prepared activations: private rows for decoding, shared tiles for batches. */
export interface PreparedArea {
  readonly rows: number;
  readonly rowStride: number;
  readonly tiles: number;
}

export interface MemoryPlan {
  readonly pages: number;
  readonly control: number;
  readonly tokens: number;
  readonly positions: number;
  readonly slots: number;
  readonly outputs: number;
  /** Visible intervals of each row. */
  readonly spans: number;
  readonly angles: ReadonlyMap<string, number>;
  readonly buffers: ReadonlyMap<string, PlacedBuffer>;
  readonly caches: ReadonlyMap<string, PlacedCache>;
  readonly prepared: ReadonlyMap<ActivationLayout["name"], PreparedArea>;
  /** Attention scratch of thread 0 and the distance to the next thread's. */
  readonly scratch: number;
  readonly scratchStride: number;
  /** Where a thread unpacks one panel of 4-bit weights, and the distance to the next thread's. */
  readonly panelScratch: number;
  readonly panelScratchStride: number;
  /** A row of zeros as wide as the widest output: the bias of linears that have none. */
  readonly zeros: number;
  /** A row of ones as wide as the widest activated one, which the gated unit multiplies with; empty without such ops. */
  readonly ones: { readonly address: number; readonly count: number };
  readonly tape: number;
  readonly tapeBytes: number;
  readonly staging: number;
  /** A panel of rows in another format, for weights that are converted while loading. */
  readonly conversion: number;
  readonly weights: ReadonlyMap<string, PlacedWeight>;
  /** Orders of stored columns, by the name of the exponents that they follow. */
  readonly orders: ReadonlyMap<string, PlacedOrder>;
  /** Matrices that are read by columns, by name; the parts of an op share a place. */
  readonly columns: ReadonlyMap<string, PlacedColumns>;
  readonly columnAreas: ColumnAreas | undefined;
  /** Caches that choices of columns prefer, with all columns in memory. */
  readonly choices: ChoicePlan | undefined;
  /** Columns that are brought from a file when they are needed. */
  readonly fetches: FetchPlan | undefined;
  readonly weightsStart: number;
  readonly weightBytes: number;
  readonly keyValueBytes: number;
  /** Where the first bytes of the caches' lines are repeated: that of the line at p lies at echo + p / 64. */
  readonly echo: number;
  /** Positions per slot, the context rounded up to whole panels. */
  readonly capacity: number;
}

/** Throws ResourceError when the model, its context and its slots do not fit 4 GiB. */
export function planMemory(
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
  columnOrders: ColumnOrders,
): MemoryPlan {
  const { limits, threads } = options;
  const space = new Layouter();
  // While decoding, threads may keep copies of a buffer in its rows.
  const rows = Math.ceil(Math.max(limits.stepTokens, threads) / TILE_TOKENS) * TILE_TOKENS;
  const capacity = Math.ceil(limits.contextLength / PANEL_ROWS) * PANEL_ROWS;
  const control = space.take(CONTROL_BYTES);
  const stepArray = () => space.take(4 * rows);
  const [tokens, positions, slots, outputs] = [stepArray(), stepArray(), stepArray(), stepArray()];
  const spans = space.take(SPAN_ROW_BYTES * limits.stepTokens);
  const angles = new Map(
    programRotaryTables(program).map((table) => [
      table.name,
      space.take(8 * table.inverseFrequencies.length * rows),
    ]),
  );
  const buffers = new Map(
    programBuffers(program).map((buffer) => [buffer.name, placeBuffer(buffer, rows, space)]),
  );
  const placed = listWeights(program, file, options, columnOrders);
  const prepared = placePrepared({ program, placed, columnOrders, rows, threads }, space);
  const scratchStride = attentionScratchBytes(program, capacity);
  const scratch = space.take(scratchStride * threads);
  const panelScratchStride = Math.max(panelScratchBytes(program, columnOrders, rows), rowPanelBytes(placed));
  const panelScratch = space.take(panelScratchStride * threads);
  const zeros = space.take(4 * PANEL_ROWS * Math.ceil(widestRow(program) / PANEL_ROWS));
  const onesCount = Math.max(0, ...program.ops.map((op) => (op.kind === "activate" ? op.out.width : 0)));
  const ones = { address: space.take(4 * PANEL_ROWS * Math.ceil(onesCount / PANEL_ROWS)), count: onesCount };
  const columnAreas = placeColumnAreas(program, file, options, rows, space);
  const choices = placeChoices(program, options, space);
  const tapeBytes = 4 * 2 * (64 + 48 * program.ops.length);
  const tape = space.take(tapeBytes);
  const staging = space.take(2 * STAGING_BYTES);
  const conversion = space.take(conversionBytes(program, placed));
  const elementBytes = options.keyValueFormat === "f16" ? 2 : 4;
  const cachesStart = space.end;
  const caches = new Map(
    programCaches(program).map((cache) => [
      cache.name,
      placeCache(cache, elementBytes, capacity, limits.slots, space),
    ]),
  );
  const keyValueBytes = space.end - cachesStart;
  // As an address at which line 0 of the memory would have its byte; see kernels/attention/claim.as.ts.
  const echo = space.take(keyValueBytes / LINE_BYTES) - cachesStart / LINE_BYTES;
  const weightsStart = space.end;
  const orders = placeOrders(columnOrders, space);
  const weights = placeWeights(placed, orders, space);
  const columns = placeColumnWeights(program, file, options, space);
  // Page rounding and the margin come on top of what is placed.
  const fetches =
    options.columnStore === undefined
      ? undefined
      : placeFetches(program, options.columnStore, control, READ_MARGIN + PAGE_BYTES, space);
  // Kernels read whole blocks: what stands last may be read past its end, within the margin.
  const pages = Math.ceil((space.end + READ_MARGIN) / PAGE_BYTES);
  if (space.end + READ_MARGIN > MAX_BYTES) throw tooLarge(file.name, space.end - weightsStart, keyValueBytes);
  return {
    pages,
    control,
    tokens,
    positions,
    slots,
    outputs,
    spans,
    angles,
    buffers,
    caches,
    prepared,
    scratch,
    scratchStride,
    panelScratch,
    panelScratchStride,
    zeros,
    ones,
    tape,
    tapeBytes,
    staging,
    conversion,
    weights,
    orders,
    columns: fetches === undefined ? columns : placeFetched(columns, fetches),
    columnAreas,
    choices,
    fetches,
    weightsStart,
    weightBytes: space.end - weightsStart,
    keyValueBytes,
    echo,
    capacity,
  };
}

function placeBuffer(buffer: Buffer, rows: number, space: Layouter): PlacedBuffer {
  const stride = 4 * PANEL_ROWS * Math.ceil(buffer.width / PANEL_ROWS);
  return { address: space.take(stride * rows), stride };
}

function placeCache(
  cache: KeyValueCache,
  elementBytes: number,
  capacity: number,
  slotCount: number,
  space: Layouter,
): PlacedCache {
  const stored = Math.ceil(cache.headWidth / PANEL_ROWS) * PANEL_ROWS;
  const slotBytes = cache.kvHeads * stored * capacity * elementBytes;
  return { keys: space.take(slotBytes * slotCount), values: space.take(slotBytes * slotCount), slotBytes };
}

/** A row's intervals, then query, sums and scores of the heads handled together; see kernels/attention/attention.as.ts. */
function attentionScratchBytes(program: Program, capacity: number): number {
  const widths = programCaches(program).map((cache) => Math.ceil(cache.headWidth / PANEL_ROWS) * PANEL_ROWS);
  const floats = ATTENTION_RUN * (2 * Math.max(0, ...widths) + capacity + 8 + 16 * MOST_INTERVALS);
  return SPAN_ROW_BYTES + Math.ceil((4 * floats) / 64) * 64;
}

/** Outputs take zeros as their bias, inputs of tenderLinear as their tables, read to the end of a block. */
function widestRow(program: Program): number {
  const widths = program.ops.map((op) => {
    if (op.kind === "linear") return op.out.width;
    if (op.kind === "linearColumns") return op.parts[0].out.width;
    return op.kind === "tenderLinear" ? Math.max(op.out.width, op.x.width + BLOCK_COLUMNS) : 0;
  });
  return Math.max(0, ...widths);
}

/** f32 rows of a panel, or of the largest unit of a matrix that is read by columns. */
function conversionBytes(program: Program, placed: readonly ListedWeight[]): number {
  const panels = placed.map(({ weight }) => PANEL_ROWS * weight.columns);
  const units = linearColumnsOps(program).map(({ x }) => Q4_COLUMN_UNIT_ROWS * x.width);
  return 4 * Math.max(0, ...panels, ...units);
}

interface ListedWeight {
  readonly weight: Weight;
  readonly layout: WeightLayout | undefined;
  /** Name of the order that columns are stored in. */
  readonly order?: string | undefined;
}

/** Matrices are what embed and linear ops multiply with; all other weights are f32 vectors. */
function listWeights(
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

/** Where a thread packs a panel of rows that are otherwise chosen one by one. */
function rowPanelBytes(placed: readonly ListedWeight[]): number {
  const bytes = placed.map(({ weight, layout }) =>
    layout?.packKernel === "copy_rows" ? densePanelBytes(layout, weight.columns) : 0,
  );
  return Math.max(0, ...bytes);
}

interface PreparedUsers {
  readonly program: Program;
  readonly placed: readonly ListedWeight[];
  readonly columnOrders: ColumnOrders;
  readonly rows: number;
  readonly threads: number;
}

function placePrepared(
  { program, placed, columnOrders, rows, threads }: PreparedUsers,
  space: Layouter,
): ReadonlyMap<ActivationLayout["name"], PreparedArea> {
  const needed = new Map<ActivationLayout["name"], { row: number; tile: number }>();
  const need = ({ name, rowBytes, tileBytes }: ActivationLayout, columns: number) => {
    const known = needed.get(name) ?? { row: 0, tile: 0 };
    needed.set(name, {
      row: Math.max(known.row, rowBytes(columns)),
      tile: Math.max(known.tile, tileBytes(columns)),
    });
  };
  for (const { weight, layout } of placed) {
    if (layout !== undefined) need(layout.activations, weight.columns);
  }
  for (const op of program.ops) {
    if (op.kind === "tenderLinear") need(tenderActivations(op, columnOrders), opColumns(op, columnOrders));
  }
  return new Map(
    [...needed].map(([name, { row, tile }]) => {
      const rowStride = Math.ceil(row / 64) * 64;
      const area = {
        rows: space.take(rowStride * threads),
        rowStride,
        tiles: space.take((tile * rows) / TILE_TOKENS),
      };
      return [name, area];
    }),
  );
}

function placeOrders(orders: ColumnOrders, space: Layouter): MemoryPlan["orders"] {
  return new Map(
    [...orders].map(([name, order]) => {
      return [name, { ...order, address: space.take(order.places.byteLength) }];
    }),
  );
}

/** Weights that are the same rows of the same tensor (tied heads) share one place. */
function placeWeights(
  placed: readonly ListedWeight[],
  orders: MemoryPlan["orders"],
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
        layout === undefined
          ? 4 * PANEL_ROWS * Math.ceil((rows * columns) / PANEL_ROWS)
          : packedBytes(weight, layout);
      const placedOrder = order === undefined ? undefined : orders.get(order);
      place = { weight, layout, order: placedOrder, address: space.take(bytes), bytes };
      byRows.set(key, place);
    }
    byName.set(weight.name, place);
  }
  return byName;
}

function tooLarge(name: string, weightBytes: number, keyValueBytes: number): ResourceError {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(2);
  return new ResourceError(
    `${name}: weights (${gib(weightBytes)} GiB) and keys and values (${gib(keyValueBytes)} GiB) do not fit the 4 GiB ` +
      "of a WebAssembly memory - use a smaller weight format, a shorter context or fewer slots",
  );
}
