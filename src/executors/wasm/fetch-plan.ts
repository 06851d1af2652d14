/**
 * The part of the memory plan that columns on disk need: room to bring an op's columns in, and with what
 * the budget leaves slots for columns that stay. Bytes are shared out as in the simulator of Dynamic
 * Input Pruning (arXiv 2412.01380): each linear of each layer gets the same, so an op with two parts
 * gets twice the bytes.
 */
import { ResourceError, UnsupportedError } from "../../errors.ts";
import { FETCH_BLOCK_BYTES } from "../../kernels/layout.ts";
import { type LinearColumnsOp, linearColumnsOps, type SelectionRule } from "../../program/column-ops.ts";
import type { Program } from "../../program/program.ts";
import { type Layouter, roundUp } from "./shared-memory.ts";
import {
  COLUMN_ALIGNMENT,
  COLUMN_GAP_BYTES,
  type ColumnStore,
  type FetchPlan,
  type FetchSite,
  type StoredColumns,
} from "../column-store.ts";

interface StoredOp {
  readonly op: LinearColumnsOp;
  readonly stored: StoredColumns;
}

type SharedArea = Pick<FetchSite, "transit" | "selection" | "places">;

/**
 * Sites in the program's order; to be called when all else is placed. ResourceError when the budget cannot
 * hold what must be in memory, UnsupportedError when the program has no op whose columns the store holds.
 */
export function placeFetches(
  program: Program,
  store: ColumnStore,
  control: number,
  margin: number,
  space: Layouter,
): FetchPlan {
  const ops = storedOps(program, store);
  if (ops.length === 0) {
    throw new UnsupportedError(
      `${store.name}: the program reads none of its columns - ask for a density (1 reads all of them)`,
    );
  }
  const block = space.take(FETCH_BLOCK_BYTES);
  const discard = takeAligned(space, COLUMN_GAP_BYTES);
  const areas = placeSharedAreas(ops, space);
  const linears = ops.reduce((sum, { op }) => sum + op.parts.length, 0);
  const needed = space.end + margin + ops.length * COLUMN_ALIGNMENT + store.reservedBytes;
  const left = store.budgetBytes - needed;
  if (left < 0) throw budgetTooSmall(store, needed);
  const perLinear = store.keepsColumns ? left / linears : 0;
  const sites = ops.map(({ op, stored }, i): FetchSite => {
    const fitting = Math.floor((perLinear * op.parts.length) / stored.stride);
    const slots = Math.min(stored.columns, fitting);
    const slotsAddress = takeAligned(space, slots * stored.stride);
    return {
      stored,
      rule: ruleOf(program, op),
      followsResidual: program.ops.some((other) => other.kind === "rmsNorm" && other.out.name === op.x.name),
      slots,
      slotsAddress,
      ...areas[i],
    };
  });
  return { control, block, discard, sites };
}

/** Ops whose columns are in the store, and those alone. */
function storedOps(program: Program, store: ColumnStore): readonly StoredOp[] {
  const ops = linearColumnsOps(program).flatMap((op) => {
    const stored = store.find(op.parts.map(({ weight }) => weight.name));
    return stored === undefined ? [] : [{ op, stored }];
  });
  for (const { op, stored } of ops) {
    for (const { weight } of op.parts) {
      if (weight.rows === stored.rows && weight.columns === stored.columns) continue;
      throw new UnsupportedError(
        `${store.name}: ${weight.name}, expected [${weight.rows}, ${weight.columns}] as in the model, got [${stored.rows}, ${stored.columns}] - write the columns from this model`,
      );
    }
  }
  return ops;
}

/** Of each op; those of one size share them: one op is done before the next one's columns are asked for. */
function placeSharedAreas(ops: readonly StoredOp[], space: Layouter): readonly SharedArea[] {
  const areas = new Map<string, SharedArea>();
  return ops.map(({ stored }) => {
    const { weights, rows, columns, stride } = stored;
    const size = `${weights.length}x${rows}x${columns}`;
    const area = areas.get(size) ?? {
      transit: takeAligned(space, columns * stride),
      selection: space.take(16 + 4 * (columns + 1)),
      places: space.take(4 * columns),
    };
    areas.set(size, area);
    return area;
  });
}

function takeAligned(space: Layouter, bytes: number): number {
  return roundUp(space.take(bytes + COLUMN_ALIGNMENT), COLUMN_ALIGNMENT);
}

/**
 * The rule of the op's selection, which readers apply to what the op multiplies: a choice made from
 * something else cannot be repeated there, nor can one of open gates, whose buffer the product of gate
 * and up has overwritten.
 */
function ruleOf(program: Program, op: LinearColumnsOp): SelectionRule {
  const chosen = program.ops
    .slice(0, program.ops.indexOf(op))
    .findLast((earlier) => earlier.kind === "selectColumns" && earlier.out.name === op.selection.name);
  const { rule, among } = op.selection;
  if (
    chosen?.kind !== "selectColumns" ||
    chosen.x.name !== op.x.name ||
    rule.kind === "gate" ||
    among !== undefined
  ) {
    throw new UnsupportedError(
      `${op.parts[0].weight.name}: columns are chosen by something else than what they multiply - keep these weights in memory`,
    );
  }
  return rule;
}

function budgetTooSmall(store: ColumnStore, needed: number): ResourceError {
  const megabytes = Math.ceil(needed / 1e6);
  return new ResourceError(
    `memory budget: ${needed} bytes (${megabytes} MB) must be in memory besides cached columns, got ${store.budgetBytes} - raise --memory-budget, or shorten the context`,
  );
}
