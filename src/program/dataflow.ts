/**
 * What each op touches: the buffers it reads and writes, the weights it uses, the cache it needs. The
 * validator, the accounting and the executors ask here instead of each walking the op kinds again.
 */
import { attentionWeights } from "./tender-attention.ts";
import { tenderWeights } from "./tender-linear.ts";
import { columnWeights } from "./column-ops.ts";
import type { Buffer, KeyValueCache, Op, Program, RotaryTable, Weight } from "./program.ts";
import type { TrainingProgram } from "./training-ops.ts";

/** Buffers an op reads, in its own order; an in-place op lists its buffer here and in `buffersWritten`. */
export function buffersRead(op: Op): readonly Buffer[] {
  switch (op.kind) {
    case "embed":
      return [];
    case "rmsNorm":
    case "linear":
    case "tenderLinear":
    case "rope":
    case "activate":
    case "scale":
    case "selectOutputs":
    case "selectColumns":
    case "linearColumns":
    case "linearRows":
      return [op.x];
    case "storeKeyValue":
      return [op.key, op.value];
    case "attention":
      return [op.query];
    case "glu":
      return [op.gate, op.up];
    case "add":
      return [op.a, op.b];
  }
}

/** The buffers an op writes; none for ops that only fill a cache or choose columns. */
export function buffersWritten(op: Op): readonly Buffer[] {
  switch (op.kind) {
    case "rope":
      return [op.x];
    case "storeKeyValue":
    case "selectColumns":
      return [];
    case "linearColumns":
      return op.parts.map(({ out }) => out);
    default:
      return [op.out];
  }
}

/** Weights an op uses; the embedding table counts although only one of its rows is read per token. */
export function weightsOf(op: Op): readonly Weight[] {
  switch (op.kind) {
    case "embed":
      return [op.table];
    case "rmsNorm":
      return [op.weight];
    case "linear":
      return op.bias === undefined ? [op.weight] : [op.weight, op.bias];
    case "tenderLinear":
      return tenderWeights(op);
    case "attention":
      return attentionWeights(op);
    case "selectColumns":
    case "linearColumns":
    case "linearRows":
      return columnWeights(op);
    default:
      return [];
  }
}

export function cacheOf(op: Op): KeyValueCache | undefined {
  return op.kind === "storeKeyValue" || op.kind === "attention" ? op.cache : undefined;
}

/** All distinct weights in order of first use. */
export function programWeights(program: Program): readonly Weight[] {
  return distinct(program.ops.flatMap(weightsOf));
}

/** All distinct buffers in order of first use. */
export function programBuffers(program: Program): readonly Buffer[] {
  return distinct(program.ops.flatMap((op) => [...buffersRead(op), ...buffersWritten(op)]));
}

/** All distinct key/value caches in order of first use. */
export function programCaches(program: Program): readonly KeyValueCache[] {
  return distinct(program.ops.map(cacheOf).filter((cache) => cache !== undefined));
}

/** All distinct rotary tables in order of first use, of a program or of one that trains. */
export function programRotaryTables({ ops }: Pick<Program | TrainingProgram, "ops">): readonly RotaryTable[] {
  return distinct(ops.flatMap((op) => (op.kind === "rope" || op.kind === "rotate" ? [op.table] : [])));
}

/** The last of each name, in order of first use. */
function distinct<Named extends { readonly name: string }>(items: readonly Named[]): readonly Named[] {
  return [...new Map(items.map((item) => [item.name, item])).values()];
}

/**
 * Ops whose results serve choices of columns alone (predictors, activated gates): prompts, which choose
 * nothing, do without them. Results that nobody reads are kept, as they may be looked at from outside.
 */
export function choiceOps({ ops }: Program): ReadonlySet<Op> {
  const found = new Set<Op>();
  const readers = new Map<string, "choices" | "others">();
  for (const op of ops.toReversed()) {
    const outs = buffersWritten(op);
    const forChoices = outs.length > 0 && outs.every(({ name }) => readers.get(name) === "choices");
    if (forChoices) found.add(op);
    for (const { name } of outs) readers.delete(name);
    for (const { name } of buffersRead(op)) {
      if (op.kind !== "selectColumns" && !forChoices) readers.set(name, "others");
      else if (!readers.has(name)) readers.set(name, "choices");
    }
  }
  return found;
}

/** Token ids that a program knows: rows of its embedding, which its results need not be as wide as. */
export function knownTokens({ ops, vocabularySize }: Program): number {
  const embed = ops.find((op) => op.kind === "embed");
  return embed?.table.rows ?? vocabularySize;
}

/** Whether generated tokens read fewer columns than prompts do, so that the two must be told apart. */
export function selectsColumns(program: Program): boolean {
  return program.ops.some((op) => op.kind === "selectColumns");
}
