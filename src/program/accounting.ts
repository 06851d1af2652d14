/**
 * Counts what one decoded token costs: bytes of weights and of keys/values read, and multiply-adds.
 * bytes per token = sum over linears (weights x bits / 8) + KV positions attended x bytes per position.
 * Invariant: every op belongs to exactly one group, and `total` is the sum of the groups.
 */
import { selectedShare, type Selection } from "./column-ops.ts";
import { choiceOps, programCaches, weightsOf } from "./dataflow.ts";
import { type KeyValueFormat, keyValueRowBytes } from "./key-value-format.ts";
import { tenderBytes } from "./tender-linear.ts";
import type { Op, Program, Weight } from "./program.ts";
import { layerWeight } from "./weight-names.ts";

/** Bytes read per decoded token at a given context, by kind; the project's north star. */
export interface ReadBytes {
  readonly total: number;
  readonly byKind: {
    readonly attention: number;
    readonly feedForward: number;
    readonly head: number;
    readonly keyValue: number;
    readonly other: number;
  };
}

export type ReadKind = keyof ReadBytes["byKind"];

/** Cost of one op for one token. */
export interface OpCost {
  readonly op: Op;
  readonly kind: ReadKind;
  /** Weight and key/value bytes read. */
  readonly bytes: number;
  /** Multiply-adds; elementwise ops count one per element they touch, transcendental functions none. */
  readonly multiplyAdds: number;
}

export interface ProgramCost {
  readonly ops: readonly OpCost[];
  readonly reads: ReadBytes;
  readonly multiplyAdds: number;
}

/** Prompts read every column, generated tokens only those that are selected. */
export type Phase = "prompt" | "generation";

export interface CostModel {
  /** Bytes the whole weight occupies where the executor reads it. */
  readonly weightBytes: (weight: Weight) => number;
  readonly keyValueFormat: KeyValueFormat;
  /** Positions visible to the token; sliding windows see at most their width. */
  readonly attended: number;
  /** `generation` by default. */
  readonly phase?: Phase | undefined;
}

/** Cost of decoding one token, op by op and in total. */
export function countCost(program: Program, model: CostModel): ProgramCost {
  const byKind = { attention: 0, feedForward: 0, head: 0, keyValue: 0, other: 0 };
  let multiplyAdds = 0;
  const needless: ReadonlySet<Op> = model.phase === "prompt" ? choiceOps(program) : new Set();
  const ops = program.ops.map((op): OpCost => {
    const cost = {
      op,
      kind: readKind(op),
      bytes: needless.has(op) ? 0 : opBytes(op, model),
      multiplyAdds: needless.has(op) ? 0 : opMultiplyAdds(op, model),
    };
    byKind[cost.kind] += cost.bytes;
    multiplyAdds += cost.multiplyAdds;
    return cost;
  });
  const total = Object.values(byKind).reduce((sum, bytes) => sum + bytes, 0);
  return { ops, reads: { total, byKind }, multiplyAdds };
}

/** Bytes that one position of a sequence keeps in all caches. */
export function keyValueBytes(program: Program, format: KeyValueFormat): number {
  const caches = programCaches(program);
  return caches.reduce(
    (sum, { kvHeads, headWidth }) => sum + 2 * kvHeads * keyValueRowBytes(format, headWidth),
    0,
  );
}

/** Which group a weight's bytes belong to, from its name in the program. */
export function weightKind(name: string): ReadKind {
  if (name === "head" || name.startsWith("head.")) {
    return "head";
  }
  const part = layerWeight(name)?.part.split(".")[0];
  return part === "attention" || part === "feedForward" ? part : "other";
}

function readKind(op: Op): ReadKind {
  if (op.kind === "attention") {
    return "keyValue";
  }
  const [weight] = weightsOf(op);
  return weight === undefined ? "other" : weightKind(weight.name);
}

function opBytes(op: Op, model: CostModel): number {
  if (op.kind === "embed") {
    return model.weightBytes(op.table) / op.table.rows;
  }
  if (op.kind === "attention") {
    const rowBytes = 2 * op.cache.kvHeads * keyValueRowBytes(model.keyValueFormat, op.cache.headWidth); // one key and one value
    const tables = weightsOf(op).reduce((sum, weight) => sum + model.weightBytes(weight), 0);
    return visible(op.window, model.attended) * rowBytes + tables;
  }
  if (op.kind === "tenderLinear") {
    return tenderBytes(op, model.weightBytes);
  }
  if (op.kind === "linearRows") {
    return readShare(op.selection, model) * model.weightBytes(op.weight);
  }
  if (op.kind === "linearColumns") {
    const share = readShare(op.selection, model);
    return op.parts.reduce(
      (sum, { weight, bias }) =>
        sum + share * model.weightBytes(weight) + (bias === undefined ? 0 : model.weightBytes(bias)),
      0,
    );
  }
  return weightsOf(op).reduce((sum, weight) => sum + model.weightBytes(weight), 0);
}

function opMultiplyAdds(op: Op, model: CostModel): number {
  switch (op.kind) {
    case "linear":
      return op.weight.rows * op.weight.columns;
    case "tenderLinear":
      return op.codes.rows * op.codes.columns;
    case "linearColumns": {
      const share = readShare(op.selection, model);
      return op.parts.reduce((sum, { weight }) => sum + share * weight.rows * weight.columns, 0);
    }
    case "linearRows":
      return readShare(op.selection, model) * op.weight.rows * op.weight.columns;
    case "selectColumns":
      return model.phase === "prompt" ? 0 : op.x.width;
    case "attention":
      // scores and the weighted sum of values: d each, per head and position
      return 2 * op.query.width * visible(op.window, model.attended);
    case "rmsNorm":
      return 2 * op.x.width;
    case "rope":
      return 4 * op.heads * op.table.inverseFrequencies.length;
    case "embed":
    case "glu":
    case "activate":
    case "add":
    case "scale":
      return op.out.width;
    case "storeKeyValue":
    case "selectOutputs":
      return 0;
  }
}

/** Share of a matrix that a token reads through a selection: all of it in a prompt. */
function readShare(selection: Selection, { phase }: CostModel): number {
  return phase === "prompt" ? 1 : selectedShare(selection);
}

function visible(window: number | undefined, attended: number): number {
  return window === undefined ? attended : Math.min(window, attended);
}
