/**
 * First half of differentiation: a program whose buffers are all written once. Families reuse buffers from
 * layer to layer and work in place; the backward pass needs what was in them, so every write gets a name of
 * its own. The cache disappears: a training step holds whole sequences, and attention reads its keys and
 * values directly. Column ops become linears of inputs of which only the chosen columns are left: the same
 * sums, with zeros for what decoding does not read.
 */
import { UnsupportedError } from "../errors.ts";
import type { LinearColumnsOp, SelectColumnsOp, SelectionRule } from "./column-ops.ts";
import type { AttentionOp, Buffer, Op, Program } from "./program.ts";
import type { TrainingOp } from "./training-ops.ts";

export interface ForwardPass {
  readonly ops: readonly TrainingOp[];
  readonly logits: Buffer;
}

/** Throws UnsupportedError for ops that have no gradient (those of compressed models). */
export function renameWrites(program: Program): ForwardPass {
  const renamer = new Renamer();
  for (const op of program.ops) renamer.append(op);
  return { ops: renamer.ops, logits: renamer.read(program.logits) };
}

class Renamer {
  readonly ops: TrainingOp[] = [];
  readonly #current = new Map<string, Buffer>();
  readonly #versions = new Map<string, number>();
  readonly #stored = new Map<string, { key: Buffer; value: Buffer }>();
  /** What the choice of a selection is made by at this point. */
  readonly #choices = new Map<string, { by: Buffer; rule: SelectionRule }>();
  /** Inputs with the chosen columns alone, by their own names. */
  readonly #kept = new Map<string, Buffer>();

  /** The buffer that holds what the program calls `buffer` at this point. */
  read(buffer: Buffer): Buffer {
    const current = this.#current.get(buffer.name);
    if (current === undefined) throw new Error(`differentiate: ${buffer.name} is read before it is written`);
    return current;
  }

  append(op: Op): void {
    switch (op.kind) {
      case "embed":
        this.ops.push({ ...op, out: this.#write(op.out) });
        return;
      case "rmsNorm":
      case "linear":
      case "activate":
      case "scale":
      case "selectOutputs": {
        const x = this.read(op.x);
        this.ops.push({ ...op, x, out: this.#write(op.out) });
        return;
      }
      case "rope": {
        const { heads, headWidth, table } = op;
        const x = this.read(op.x);
        this.ops.push({ kind: "rotate", x, out: this.#write(op.x), heads, headWidth, table, inverse: false });
        return;
      }
      case "storeKeyValue":
        this.#stored.set(op.cache.name, { key: this.read(op.key), value: this.read(op.value) });
        return;
      case "attention":
        this.#attention(op);
        return;
      case "glu": {
        const [gate, up] = [this.read(op.gate), this.read(op.up)];
        this.ops.push({ ...op, gate, up, out: this.#write(op.out) });
        return;
      }
      case "add": {
        const [a, b] = [this.read(op.a), this.read(op.b)];
        this.ops.push({ ...op, a, b, out: this.#write(op.out) });
        return;
      }
      case "selectColumns":
        this.#choose(op);
        return;
      case "linearColumns":
        this.#linearColumns(op);
        return;
      case "linearRows": {
        // Rows that were not chosen are computed here and, as in decoding, read by nobody:
        // `keepColumns` follows.
        const { weight } = op;
        const x = this.read(op.x);
        this.ops.push({ kind: "linear", x, weight, bias: undefined, out: this.#write(op.out) });
        return;
      }
      default:
        throw new UnsupportedError(
          `training: op ${(op as { kind: string }).kind} has no gradient - train the model before compressing it`,
        );
    }
  }

  /**
   * What a choice among live neurons leaves out beside its own rule is zero in x,
   * so that its rule alone does the same.
   */
  #choose({ x, out: { name, rule, among } }: SelectColumnsOp): void {
    if (among !== undefined && among.rule.kind !== "gate") {
      throw new UnsupportedError(
        `training: ${name} is chosen among ${among.name}, expected a choice among live neurons - train before compressing twice`,
      );
    }
    this.#choices.set(name, { by: this.read(x), rule });
  }

  #linearColumns({ x, selection, parts }: LinearColumnsOp): void {
    const kept = this.#keep(this.read(x), selection.name);
    for (const { weight, bias, out } of parts) {
      this.ops.push({ kind: "linear", x: kept, weight, bias, out: this.#write(out) });
    }
  }

  /** The chosen columns of `x`; made once for all products that share the choice. */
  #keep(x: Buffer, selection: string): Buffer {
    const choice = this.#choices.get(selection);
    if (choice === undefined) throw new Error(`differentiate: ${selection} is read before it is chosen`);
    const name = `${x.name}.${selection} of ${choice.by.name}`;
    const known = this.#kept.get(name);
    if (known !== undefined) return known;
    const out: Buffer = { ...x, name };
    this.ops.push({ kind: "keepColumns", x, ...choice, out });
    this.#kept.set(name, out);
    return out;
  }

  #attention(op: AttentionOp): void {
    if (op.codes !== undefined) {
      throw new UnsupportedError(
        "training: attention of integers has no gradient - train the model before compressing it",
      );
    }
    const stored = this.#stored.get(op.cache.name);
    if (stored === undefined) throw new Error(`differentiate: ${op.cache.name} is read before it is stored`);
    const { heads, scale, window } = op;
    const { kvHeads, headWidth } = op.cache;
    const query = this.read(op.query);
    const out = this.#write(op.out);
    this.ops.push({
      kind: "sequenceAttention",
      query,
      ...stored,
      out,
      logSumExp: { name: `${out.name}.logSumExp`, width: heads, rows: out.rows }, // [N, H]
      facts: { heads, kvHeads, headWidth, scale, window },
    });
  }

  #write(buffer: Buffer): Buffer {
    const version = (this.#versions.get(buffer.name) ?? -1) + 1;
    this.#versions.set(buffer.name, version);
    const renamed = { ...buffer, name: `${buffer.name}.${version}` };
    this.#current.set(buffer.name, renamed);
    return renamed;
  }
}
