/**
 * Builds programs op by op. A family asks for the op it wants and gets the buffer that holds its result;
 * buffers are known by name, so asking for the same name again (the next layer) reuses the same memory.
 * Invariant: a buffer name has one width and one row kind throughout a program.
 */
import type { Activation, Buffer, KeyValueCache, Op, Program, RotaryTable, Weight } from "./program.ts";

export class ProgramBuilder {
  readonly #ops: Op[] = [];
  readonly #buffers = new Map<string, Buffer>();

  /** hidden = factor * table[token]; result [T, table.columns]. */
  embed(table: Weight, out: string, factor = 1): Buffer {
    const buffer = this.#buffer(out, table.columns, "tokens");
    this.#ops.push({ kind: "embed", table, out: buffer, factor });
    return buffer;
  }

  /** Normalises `groups` equal parts of each row; result like x, in place when `out` is x's name. */
  rmsNorm(x: Buffer, weight: Weight, epsilon: number, out: string, groups = 1): Buffer {
    const buffer = this.#buffer(out, x.width, x.rows);
    this.#ops.push({ kind: "rmsNorm", x, weight, out: buffer, epsilon, groups });
    return buffer;
  }

  /** x [., columns] to out [., weight.rows]. */
  linear(x: Buffer, weight: Weight, bias: Weight | undefined, out: string): Buffer {
    const buffer = this.#buffer(out, weight.rows, x.rows);
    this.#ops.push({ kind: "linear", x, weight, bias, out: buffer });
    return buffer;
  }

  /** Rotates x [T, heads * headWidth] in place. */
  rope(x: Buffer, heads: number, table: RotaryTable): void {
    this.#ops.push({ kind: "rope", x, heads, headWidth: x.width / heads, table });
  }

  storeKeyValue(key: Buffer, value: Buffer, cache: KeyValueCache): void {
    this.#ops.push({ kind: "storeKeyValue", key, value, cache });
  }

  /** query [T, heads * d] over the cache; result [T, heads * d]. */
  attention(
    query: Buffer,
    cache: KeyValueCache,
    options: { readonly heads: number; readonly scale: number; readonly window: number | undefined },
    out: string,
  ): Buffer {
    const buffer = this.#buffer(out, query.width, query.rows);
    this.#ops.push({ kind: "attention", query, cache, out: buffer, ...options });
    return buffer;
  }

  /** gate = activation(gate) * up, into gate's buffer. */
  glu(gate: Buffer, up: Buffer, activation: Activation): Buffer {
    this.#ops.push({ kind: "glu", gate, up, out: gate, activation });
    return gate;
  }

  /** into += factor * x */
  accumulate(into: Buffer, x: Buffer, factor = 1): void {
    this.#ops.push({ kind: "add", a: into, b: x, out: into, factor });
  }

  /** x *= factor; no op at all for 1. */
  scale(x: Buffer, factor: number): void {
    if (factor !== 1) {
      this.#ops.push({ kind: "scale", x, out: x, factor });
    }
  }

  /** From [T, width] to the [R, width] rows that want logits. */
  selectOutputs(x: Buffer, out: string): Buffer {
    const buffer = this.#buffer(out, x.width, "outputs");
    this.#ops.push({ kind: "selectOutputs", x, out: buffer });
    return buffer;
  }

  /** The finished program; `logits` is the last op's result [R, V]. */
  finish(facts: { readonly name: string; readonly contextLength: number }, logits: Buffer): Program {
    return { ...facts, ops: this.#ops, logits, vocabularySize: logits.width };
  }

  #buffer(name: string, width: number, rows: Buffer["rows"]): Buffer {
    const known = this.#buffers.get(name);
    if (known !== undefined) {
      if (known.width !== width || known.rows !== rows) {
        throw new Error(
          `program builder: buffer ${name} reused with another shape, expected [${known.rows}, ${known.width}], got [${rows}, ${width}]`,
        );
      }
      return known;
    }
    const buffer: Buffer = { name, width, rows };
    this.#buffers.set(name, buffer);
    return buffer;
  }
}
