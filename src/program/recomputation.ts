/**
 * Activation recomputation (Chen et al. 2016, arXiv 1604.06174): instead of keeping an activation from the
 * forward pass until the backward pass needs it, its op runs again. Kept are only the residual stream
 * (results of embed and add), so each sublayer is recomputed from its input once, just before its gradients.
 */
import type { Buffer } from "./program.ts";
import { touchedBy } from "./training-dataflow.ts";
import type { TrainingOp } from "./training-ops.ts";

/** How much of the forward pass is kept: all of it, or the residual stream. */
export const RECOMPUTE = ["none", "sublayers"] as const;
export type Recompute = (typeof RECOMPUTE)[number];

const KEPT: readonly TrainingOp["kind"][] = ["embed", "add"];

export class Recomputation {
  readonly #ops: TrainingOp[];
  readonly #makers = new Map<string, TrainingOp>();
  readonly #again = new Map<string, Buffer>();
  readonly #mode: Recompute;

  /** `forward` is the forward pass, `ops` where repeated ops are emitted. */
  constructor(forward: readonly TrainingOp[], ops: TrainingOp[], mode: Recompute) {
    this.#ops = ops;
    this.#mode = mode;
    for (const op of forward) {
      for (const buffer of touchedBy(op).writes) this.#makers.set(buffer.name, op);
    }
  }

  /** The buffer that holds forward value `value` during the backward pass. */
  value(value: Buffer): Buffer {
    const maker = this.#makers.get(value.name);
    if (this.#mode === "none" || maker === undefined || KEPT.includes(maker.kind)) return value;
    const known = this.#again.get(value.name);
    if (known !== undefined) return known;
    const rename = (buffer: Buffer): Buffer => ({ ...buffer, name: `${buffer.name}.again` });
    for (const written of touchedBy(maker).writes) this.#again.set(written.name, rename(written));
    this.#ops.push(this.#repeat(maker, rename));
    return rename(value);
  }

  #repeat(op: TrainingOp, rename: (buffer: Buffer) => Buffer): TrainingOp {
    switch (op.kind) {
      case "rmsNorm":
      case "linear":
      case "activate":
      case "scale":
      case "selectOutputs":
      case "rotate":
        return { ...op, x: this.value(op.x), out: rename(op.out) };
      case "keepColumns":
        return { ...op, x: this.value(op.x), by: this.value(op.by), out: rename(op.out) };
      case "glu":
        return { ...op, gate: this.value(op.gate), up: this.value(op.up), out: rename(op.out) };
      case "sequenceAttention":
        return {
          ...op,
          query: this.value(op.query),
          key: this.value(op.key),
          value: this.value(op.value),
          out: rename(op.out),
          logSumExp: rename(op.logSumExp),
        };
      default:
        throw new Error(`differentiate: ${op.kind} is no op that is recomputed`);
    }
  }
}
