/**
 * Where everything lies in the executor's one shared memory, decided before anything is loaded: control
 * block, step arrays, rotary angles, activations, scratch, keys and values, weights. Nothing is
 * allocated afterwards.
 */
import { ResourceError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import {
  ATTENTION_RUN,
  BLOCK_COLUMNS,
  CONTROL_BYTES,
  MOST_INTERVALS,
  PANEL_ROWS,
  SPAN_ROW_BYTES,
  TILE_TOKENS,
} from "../../kernels/layout.ts";
import { programBuffers, programCaches, programRotaryTables } from "../../program/dataflow.ts";
import { type KeyValueFormat, keyValueRowBytes } from "../../program/key-value-format.ts";
import type { Buffer, KeyValueCache, Program } from "../../program/program.ts";
import type { FetchPlan } from "../column-store.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { PlacedColumns } from "./column-layout.ts";
import type { ColumnOrders, PlacedOrder } from "./column-order.ts";
import { type ChoicePlan, placeChoices } from "./choice-plan.ts";
import { type ColumnAreas, placeColumnAreas, placeColumnWeights, placeFetched } from "./column-plan.ts";
import { placeFetches } from "./fetch-plan.ts";
import { Layouter, LINE_BYTES, MAX_BYTES, PAGE_BYTES, roundUp } from "./shared-memory.ts";
import { opColumns, panelScratchBytes, tenderActivations } from "./tender-layout.ts";
import type { ActivationLayout } from "./weight-layout.ts";
import { STAGING_BYTES } from "./staging.ts";
import {
  conversionBytes,
  type ListedWeight,
  listWeights,
  type PlacedWeight,
  placeOrders,
  placeWeights,
  rowPanelBytes,
} from "./weight-plan.ts";

/** Bytes behind the last region that kernels may read, whose values never matter. */
const READ_MARGIN = 256;

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
  /**
   * A row of ones as wide as the widest activated one, which the gated unit multiplies with;
   * empty without such ops.
   */
  readonly ones: { readonly address: number; readonly count: number };
  readonly tape: number;
  readonly tapeBytes: number;
  /** For each product of a batch how much of it threads have taken (i32); zeros when a step begins. */
  readonly taken: { readonly address: number; readonly count: number };
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
  const rows = roundUp(Math.max(limits.stepTokens, threads), TILE_TOKENS);
  const capacity = roundUp(limits.contextLength, PANEL_ROWS);
  const step = placeStep(program, rows, limits.stepTokens, space);
  const buffers = new Map(
    programBuffers(program).map((buffer) => [buffer.name, placeBuffer(buffer, rows, space)]),
  );
  const placed = listWeights(program, file, options, columnOrders);
  const prepared = placePrepared({ program, placed, columnOrders, rows, threads }, space);
  const scratch = space.takePerThread(attentionScratchBytes(program, capacity), threads);
  const panelBytes = Math.max(panelScratchBytes(program, columnOrders, rows), rowPanelBytes(placed));
  const panelScratch = space.takePerThread(panelBytes, threads);
  const constants = placeConstants(program, space);
  const columnAreas = placeColumnAreas(program, file, options, rows, space);
  const choices = placeChoices(program, options, space);
  const inputs = placeTapesAndStaging(program, placed, space);
  const keysAndValues = placeCaches(program, options, capacity, space);
  const weightsStart = space.end;
  const orders = placeOrders(columnOrders, space);
  const weights = placeWeights(placed, orders, space);
  const columns = placeColumnWeights(program, file, options, space);
  const weightBytes = space.end - weightsStart;
  // Page rounding and the margin come on top of what is placed.
  const fetches =
    options.columnStore &&
    placeFetches(program, options.columnStore, step.control, READ_MARGIN + PAGE_BYTES, space);
  // Kernels read whole blocks: what stands last may be read past its end, within the margin.
  const end = space.end + READ_MARGIN;
  if (end > MAX_BYTES) throw tooLarge(file.name, weightBytes, keysAndValues.keyValueBytes);
  return {
    ...step,
    ...constants,
    ...inputs,
    ...keysAndValues,
    pages: Math.ceil(end / PAGE_BYTES),
    buffers,
    prepared,
    scratch: scratch.address,
    scratchStride: scratch.threadStride,
    panelScratch: panelScratch.address,
    panelScratchStride: panelScratch.threadStride,
    weights,
    orders,
    columns: fetches === undefined ? columns : placeFetched(columns, fetches),
    columnAreas,
    choices,
    fetches,
    weightsStart,
    weightBytes,
    capacity,
  };
}

type StepAreas = Pick<
  MemoryPlan,
  "control" | "tokens" | "positions" | "slots" | "outputs" | "spans" | "angles"
>;

/** What a step writes before its tape runs. */
function placeStep(program: Program, rows: number, stepTokens: number, space: Layouter): StepAreas {
  const control = space.take(CONTROL_BYTES);
  const array = () => space.take(4 * rows);
  const [tokens, positions, slots, outputs] = [array(), array(), array(), array()];
  const spans = space.take(SPAN_ROW_BYTES * stepTokens);
  const angles = new Map(
    programRotaryTables(program).map(({ name, inverseFrequencies }) => [
      name,
      space.take(8 * inverseFrequencies.length * rows),
    ]),
  );
  return { control, tokens, positions, slots, outputs, spans, angles };
}

function placeConstants(program: Program, space: Layouter): Pick<MemoryPlan, "zeros" | "ones"> {
  const zeros = space.take(4 * roundUp(widestRow(program), PANEL_ROWS));
  const count = Math.max(0, ...program.ops.map((op) => (op.kind === "activate" ? op.out.width : 0)));
  return { zeros, ones: { address: space.take(4 * roundUp(count, PANEL_ROWS)), count } };
}

/** What JavaScript fills before steps: their tapes, and rows of weights while they are loaded. */
function placeTapesAndStaging(
  program: Program,
  placed: readonly ListedWeight[],
  space: Layouter,
): Pick<MemoryPlan, "tape" | "tapeBytes" | "taken" | "staging" | "conversion"> {
  const tapeBytes = 4 * 2 * (64 + 48 * program.ops.length);
  const tape = space.take(tapeBytes);
  const products = program.ops.reduce(
    (sum, op) => sum + (op.kind === "linearColumns" ? op.parts.length : 1),
    0,
  );
  const taken = { address: space.take(4 * products), count: products };
  const staging = space.take(2 * STAGING_BYTES);
  return { tape, tapeBytes, taken, staging, conversion: space.take(conversionBytes(program, placed)) };
}

function placeCaches(
  program: Program,
  { keyValueFormat, limits }: Pick<ExecutorOptions, "keyValueFormat" | "limits">,
  capacity: number,
  space: Layouter,
): Pick<MemoryPlan, "caches" | "keyValueBytes" | "echo"> {
  const start = space.end;
  const caches = new Map(
    programCaches(program).map((cache) => [
      cache.name,
      placeCache(cache, keyValueFormat, capacity, limits.slots, space),
    ]),
  );
  const keyValueBytes = space.end - start;
  // As an address at which line 0 of the memory would have its byte; see kernels/attention/claim.as.ts.
  const echo = space.take(keyValueBytes / LINE_BYTES) - start / LINE_BYTES;
  return { caches, keyValueBytes, echo };
}

function placeBuffer(buffer: Buffer, rows: number, space: Layouter): PlacedBuffer {
  const stride = 4 * roundUp(buffer.width, PANEL_ROWS);
  return { address: space.take(stride * rows), stride };
}

function placeCache(
  cache: KeyValueCache,
  format: KeyValueFormat,
  capacity: number,
  slotCount: number,
  space: Layouter,
): PlacedCache {
  const stored = roundUp(cache.headWidth, PANEL_ROWS);
  const slotBytes = cache.kvHeads * capacity * keyValueRowBytes(format, stored);
  return { keys: space.take(slotBytes * slotCount), values: space.take(slotBytes * slotCount), slotBytes };
}

/**
 * A row's intervals, then query, sums and scores of the heads handled together; see
 * kernels/attention/attention.as.ts.
 */
function attentionScratchBytes(program: Program, capacity: number): number {
  const widths = programCaches(program).map((cache) => roundUp(cache.headWidth, PANEL_ROWS));
  const floats = ATTENTION_RUN * (2 * Math.max(0, ...widths) + capacity + 8 + 16 * MOST_INTERVALS);
  return SPAN_ROW_BYTES + 4 * floats;
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
      const { address, threadStride } = space.takePerThread(row, threads);
      return [
        name,
        { rows: address, rowStride: threadStride, tiles: space.take((tile * rows) / TILE_TOKENS) },
      ];
    }),
  );
}

function tooLarge(name: string, weightBytes: number, keyValueBytes: number): ResourceError {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(2);
  return new ResourceError(
    `${name}: weights (${gib(weightBytes)} GiB) and keys and values (${gib(keyValueBytes)} GiB) do not fit the 4 GiB ` +
      "of a WebAssembly memory - use a smaller weight format, a shorter context or fewer slots",
  );
}
