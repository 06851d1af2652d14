/**
 * Which values each choice of columns speaks of, while the validator walks a program: a product over
 * chosen columns must read what the choice was made from, or something whose columns outside of it
 * are as good as zero.
 * Invariant: overwriting a value ends what was known about it.
 */
import type { SelectColumnsOp } from "./column-ops.ts";
import { buffersWritten } from "./dataflow.ts";
import type { Op } from "./program.ts";
import type { Fail } from "./shape-checks.ts";

export class ChoiceTracker {
  /** Names of the buffers that each selection speaks of. */
  readonly #choices = new Map<string, Set<string>>();
  /** Activated values and what they were made from: a choice of the one is a choice of the other. */
  readonly #activated = new Map<string, string>();
  /** Buffers that hold the chosen rows of a product only, and the choice. */
  readonly #computed = new Map<string, string>();

  /** Fails when the op uses a choice that is not made, or is made of something else. */
  check(op: Op, fail: Fail): void {
    if (op.kind === "linearColumns" && this.#choices.get(op.selection.name)?.has(op.x.name) !== true) {
      fail(`selection ${op.selection.name} is not of ${op.x.name}`);
    }
    const needed =
      op.kind === "linearRows" ? op.selection : op.kind === "selectColumns" ? op.out.among : undefined;
    if (needed !== undefined && !this.#choices.has(needed.name)) fail(`selection ${needed.name} is not made`);
  }

  /** Notes what the op makes and overwrites. */
  advance(op: Op): void {
    const carried = op.kind === "glu" ? this.#choicesOfUnit(op.gate.name, op.up.name) : [];
    for (const { name } of buffersWritten(op)) this.#forget(name);
    if (op.kind === "glu") for (const sources of carried) sources.add(op.out.name);
    if (op.kind === "linearRows") this.#computed.set(op.out.name, op.selection.name);
    if (op.kind === "activate") this.#activated.set(op.out.name, op.x.name);
    if (op.kind === "selectColumns") this.#choose(op);
  }

  /**
   * A choice of gates or of ups is one of the gated units' results,
   * and so is one by which both were computed.
   */
  #choicesOfUnit(gate: string, up: string): readonly Set<string>[] {
    return [...this.#choices].flatMap(([name, sources]) => {
      const both = this.#computed.get(gate) === name && this.#computed.get(up) === name;
      return both || sources.has(gate) || sources.has(up) ? [sources] : [];
    });
  }

  #forget(buffer: string): void {
    for (const sources of this.#choices.values()) sources.delete(buffer);
    this.#computed.delete(buffer);
    for (const [name, from] of this.#activated) {
      if (name === buffer || from === buffer) this.#activated.delete(name);
    }
  }

  #choose({ x, out }: SelectColumnsOp): void {
    for (const [name, choice] of this.#computed) if (choice === out.name) this.#computed.delete(name);
    const from = this.#activated.get(x.name);
    this.#choices.set(out.name, new Set(from === undefined ? [x.name] : [x.name, from]));
  }
}
