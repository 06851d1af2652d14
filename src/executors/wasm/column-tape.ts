/**
 * What column ops become on a tape: while decoding a selection and a product over it, in batches prepared
 * activations and a dense product, part by part.
 */
import * as layout from "../../kernels/layout.ts";
import type { LinearColumnsOp, SelectColumnsOp } from "../../program/column-ops.ts";
import type { Op } from "../../program/program.ts";
import type { FetchPlan } from "../column-store.ts";
import type { ChoicePlan } from "./choice-plan.ts";
import { columnTileBytes, type PlacedColumns } from "./column-layout.ts";
import type { Access } from "./hazards.ts";
import { floatWord, limitWord, SELECTIONS } from "./tape-codes.ts";
import type { TapeWriter, Touch } from "./tape-writer.ts";
import { panelCount } from "./weight-layout.ts";

export function appendSelectColumns(tape: TapeWriter, op: SelectColumnsOp, next: Op | undefined): void {
  if (next?.kind === "linearColumns" && next.selection.name === op.out.name && isFetched(tape, next)) {
    // Whoever brings the columns chooses them.
    tape.kernels.push("none");
    return;
  }
  if (tape.mode === "batch") {
    tape.kernels.push("none");
    return;
  }
  if (tape.plan.choices !== undefined) {
    appendChooseCached(tape, op, tape.plan.choices);
    return;
  }
  const { rule, among } = op.out;
  const { code, kernel } = SELECTIONS[rule.kind];
  const target = tape.selection(op.out.name);
  const earlier = among === undefined ? { address: 0, threadStride: 0 } : tape.selection(among.name);
  tape.kernels.push(among === undefined ? kernel : kernel.replace("_f32", "_among_f32"));
  tape.emit(
    layout.OP_SELECT_COLUMNS,
    [
      code,
      tape.buffer(op.x).address,
      tape.threadStride(op.x),
      op.x.width,
      limitWord(rule),
      target.address,
      target.threadStride,
      earlier.address,
      earlier.threadStride,
    ],
    { reads: [tape.rowTouch(op.x)], writes: [] },
  );
}

function appendChooseCached(tape: TapeWriter, op: SelectColumnsOp, choices: ChoicePlan): void {
  const choice = choices.byOp.get(op);
  if (choice === undefined) throw new Error(`tape: cache of ${op.out.name} has no place`);
  const target = tape.selection(op.out.name);
  tape.kernels.push("choose_cached_f32");
  tape.emit(
    layout.OP_CHOOSE_CACHED,
    [
      tape.buffer(op.x).address,
      tape.threadStride(op.x),
      op.x.width,
      choice.count,
      target.address,
      target.threadStride,
      choice.cache.address,
      choice.cache.threadStride,
      choice.slots,
      choices.policy,
      ...new Uint32Array(Float64Array.of(choices.gamma).buffer),
      choices.scratch.address,
      choices.scratch.threadStride,
    ],
    { reads: [tape.rowTouch(op.x)], writes: [] },
  );
}

export function appendLinearColumns(tape: TapeWriter, op: LinearColumnsOp): void {
  const placed = tape.plan.columns.get(op.parts[0].weight.name);
  if (placed === undefined) throw new Error(`tape: columns of ${op.parts[0].weight.name} have no place`);
  const { layout: columns } = placed;
  appendFetch(tape, op, placed);
  if (tape.mode === "decode") {
    tape.kernels.push(columns.kernels.decode);
    appendChosen(tape, op, placed);
  } else {
    tape.kernels.push(columns.kernels.batch);
    for (let part = 0; part < op.parts.length; part++) appendDense(tape, op, placed, part);
  }
}

function isFetched(tape: TapeWriter, op: LinearColumnsOp): boolean {
  return tape.plan.columns.get(op.parts[0].weight.name)?.site !== undefined;
}

/**
 * Has an op's columns brought to memory where they lie in a file: the chosen ones, for several tokens all.
 */
function appendFetch(tape: TapeWriter, op: LinearColumnsOp, { site }: PlacedColumns): void {
  if (site === undefined) return;
  const what = tape.mode === "decode" ? layout.FETCH_CHOSEN : layout.FETCH_ALL;
  tape.emit(
    layout.OP_FETCH_COLUMNS,
    [fetchPlan(tape).block, site, what, tape.buffer(op.x).address],
    // One thread asks, all use the answer: the rule no other instruction has makes them meet in between.
    { reads: [tape.rowTouch(op.x)], writes: [{ region: FETCHED, access: "units/0" }] },
  );
}

const FETCHED = "columns:fetched";

function fetchPlan({ plan }: TapeWriter): FetchPlan {
  if (plan.fetches === undefined) throw new Error("tape: columns in a file have no plan");
  return plan.fetches;
}

/**
 * Where a product finds its chosen columns: one list per thread, or one for all when they come from a file.
 */
function chosenColumns(tape: TapeWriter, op: LinearColumnsOp, { site }: PlacedColumns) {
  if (site === undefined) return { ...tape.selection(op.selection.name), places: 0, touches: [] };
  const { selection, places } = fetchPlan(tape).sites[site];
  return { address: selection, threadStride: 0, places, touches: [FETCHED_READ] };
}

const FETCHED_READ: Touch = { region: FETCHED, access: "whole" };

function appendChosen(tape: TapeWriter, op: LinearColumnsOp, placed: PlacedColumns): void {
  const { scratch, counters } = tape.columnAreas();
  const selection = chosenColumns(tape, op, placed);
  const { rows } = placed.weights[0];
  const outs = op.parts.map(({ out, bias }) => [
    tape.buffer(out).address,
    bias === undefined ? tape.plan.zeros : tape.address(bias.name),
  ]);
  tape.emit(
    layout.OP_LINEAR_COLUMNS,
    [
      placed.layout.code,
      op.parts.length,
      placed.data,
      placed.units,
      layout.PANEL_ROWS * panelCount(rows),
      op.x.width,
      tape.buffer(op.x).address,
      tape.threadStride(op.x),
      selection.address,
      selection.threadStride,
      placed.scales,
      ...outs[0],
      ...(outs[1] ?? [0, 0]),
      scratch.address,
      scratch.threadStride,
      counters,
      selection.places,
      placed.layout.scaled ? tape.counter() : 0,
    ],
    {
      reads: [tape.rowTouch(op.x), ...selection.touches],
      // Totals lie in the threads' scratch, which a later op may overwrite only once all have read them.
      writes: [
        { region: "columns:totals", access: "tiles" },
        ...(placed.layout.scaled
          ? []
          : op.parts.map(({ out }) => ({ region: out.name, access: unitAccess(placed) }))),
      ],
    },
  );
  if (!placed.layout.scaled) return;
  const panels = panelCount(rows);
  tape.emit(
    layout.OP_COLUMN_SUMS,
    [
      placed.layout.code,
      op.parts.length,
      placed.units,
      panels,
      ...outs[0],
      ...(outs[1] ?? [0, 0]),
      scratch.address,
      scratch.threadStride,
    ],
    {
      reads: [{ region: "columns:totals", access: "whole" }],
      writes: op.parts.map(({ out }) => ({ region: out.name, access: `panels/${panels}` as const })),
    },
  );
}

function appendDense(tape: TapeWriter, op: LinearColumnsOp, placed: PlacedColumns, part: number): void {
  const { scratch, tiles } = tape.columnAreas();
  const { weight, bias, out } = op.parts[part];
  const [x, to] = [tape.buffer(op.x), tape.buffer(out)];
  const { layout: columns } = placed;
  const panels = panelCount(weight.rows);
  tape.emit(
    layout.OP_COLUMN_ACTIVATIONS,
    [
      columns.code,
      x.address,
      x.stride,
      weight.columns,
      placed.scales + 4 * part * weight.columns,
      floatWord(columns.activationFactor),
      tiles,
      columnTileBytes(columns, weight.columns),
      scratch.address,
      scratch.threadStride,
    ],
    { reads: [tape.rowTouch(op.x)], writes: [{ region: "columns:tiles", access: "tiles" }] },
  );
  tape.emit(
    layout.OP_LINEAR_COLUMNS_TILE,
    [
      columns.code,
      op.parts.length,
      part,
      placed.data,
      placed.units,
      panels,
      weight.columns,
      tiles,
      to.address,
      to.stride,
      bias === undefined ? tape.plan.zeros : tape.address(bias.name),
      scratch.address,
      scratch.threadStride,
      placed.stride,
      placed.scales + 4 * part * weight.columns,
      tape.batchCounter(),
    ],
    {
      reads: [
        { region: "columns:tiles", access: "whole" },
        ...(placed.site === undefined ? [] : [FETCHED_READ]),
      ],
      writes: [{ region: out.name, access: tape.panelAccess(panels) }],
    },
  );
}

function unitAccess({ units }: PlacedColumns): Access {
  return `units/${units}`;
}
