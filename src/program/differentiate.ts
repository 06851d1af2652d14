/**
 * Differentiation as a rewrite: from a model's program to one that also computes losses and the gradients of
 * its weights, by reverse accumulation over the ops (Griewank and Walther, Evaluating Derivatives, chapter
 * 3). Activations that the backward pass needs stay in memory, or are recomputed (recomputation.ts).
 * Invariant: the forward ops compute what the program computes, in the same order.
 */
import { GradientTable } from "./gradient-table.ts";
import type { Buffer, LinearOp, Program, RmsNormOp, Weight } from "./program.ts";
import { Recomputation, type Recompute } from "./recomputation.ts";
import { renameWrites } from "./single-assignment.ts";
import { listParameters, touchedBy } from "./training-dataflow.ts";
import type { LossOp, SequenceAttentionOp, TrainingOp, TrainingProgram } from "./training-ops.ts";

export interface DifferentiateOptions {
  /** Weights that get gradients; all of them by default. */
  readonly trainable?: (weight: Weight) => boolean;
  readonly recompute?: Recompute;
  /** Adds the distance to a teacher's logits as a second loss. */
  readonly distillation?: { readonly temperature: number };
  /** Adds an L1 penalty on the results of the gated units, as ProSparse does. */
  readonly l1?: boolean;
}

/** Throws UnsupportedError when the program has ops without a gradient. */
export function differentiate(program: Program, options: DifferentiateOptions = {}): TrainingProgram {
  const { ops: forward, logits } = renameWrites(program);
  const trainable = options.trainable ?? (() => true);
  const lossOps = makeLosses(logits, options);
  const ops: TrainingOp[] = [...forward, ...lossOps];
  const backward = new BackwardPass(forward, ops, trainable, options);
  for (const loss of lossOps) backward.seed(logits, loss.gradient);
  for (const op of forward.toReversed()) backward.append(op);
  const teacher = lossOps.find((op) => op.kind === "distillation")?.teacher;
  return {
    name: program.name,
    ops,
    forwardOps: forward.length + lossOps.length,
    logits,
    losses: lossOps.map((op) => op.losses),
    l1Sums: ops.flatMap((op) => (op.kind === "l1Gradient" ? [op.sums] : [])),
    teacher,
    parameters: listParameters(forward, trainable),
    vocabularySize: program.vocabularySize,
    contextLength: program.contextLength,
  };
}

function makeLosses(logits: Buffer, { distillation }: DifferentiateOptions): LossOp[] {
  const like = (name: string, width = logits.width): Buffer => ({ name, width, rows: logits.rows });
  const losses: LossOp[] = [
    { kind: "crossEntropy", logits, gradient: like("d.crossEntropy"), losses: like("losses", 1) },
  ];
  if (distillation !== undefined) {
    losses.push({
      kind: "distillation",
      logits,
      teacher: like("teacher"),
      gradient: like("d.distillation"),
      losses: like("distances", 1),
      temperature: distillation.temperature,
    });
  }
  return losses;
}

class BackwardPass {
  readonly #ops: TrainingOp[];
  readonly #gradients: GradientTable;
  readonly #recomputation: Recomputation;
  readonly #trainable: (weight: Weight) => boolean;
  readonly #l1: boolean;
  /** Values that depend on a trainable weight; the others need no gradient. */
  readonly #needed = new Set<string>();

  constructor(
    forward: readonly TrainingOp[],
    ops: TrainingOp[],
    trainable: (weight: Weight) => boolean,
    options: DifferentiateOptions,
  ) {
    this.#ops = ops;
    this.#gradients = new GradientTable(ops);
    this.#recomputation = new Recomputation(forward, ops, options.recompute ?? "none");
    this.#trainable = trainable;
    this.#l1 = options.l1 ?? false;
    for (const op of forward) {
      const { reads, writes, weights } = touchedBy(op);
      const depends = weights.some(trainable) || reads.some((buffer) => this.#needed.has(buffer.name));
      if (depends) for (const buffer of writes) this.#needed.add(buffer.name);
    }
  }

  /** `gradient` is a contribution of a loss to the gradient of `value`. */
  seed(value: Buffer, gradient: Buffer): void {
    this.#gradients.pass(value, gradient);
  }

  /** Emits the gradient ops of a forward op; ops come last to first. */
  append(op: TrainingOp): void {
    if (!("out" in op)) throw new Error(`differentiate: ${op.kind} is no forward op`);
    if (op.kind === "glu" && this.#l1 && this.#needs(op.out)) this.#penalize(op.out);
    if (op.kind === "activate") return; // only choices use it, and they are constants
    const gradient = this.#gradients.get(op.out);
    if (gradient !== undefined && this.#needs(op.out)) this.#propagate(op, gradient);
    this.#gradients.release(op.out);
  }

  #propagate(op: TrainingOp, gradient: Buffer): void {
    const gradients = this.#gradients;
    const toInput = (value: Buffer, emit: (out: Buffer) => void) => {
      if (this.#needs(value)) gradients.contributeFresh(value, emit);
    };
    switch (op.kind) {
      case "embed":
        if (!this.#trainable(op.table)) return;
        this.#ops.push({ kind: "embedGradient", gradient, table: op.table, factor: op.factor });
        return;
      case "linear":
        this.#linear(op, gradient);
        break;
      case "rmsNorm":
        this.#rmsNorm(op, gradient);
        break;
      case "rotate":
        toInput(op.x, (out) => this.#ops.push({ ...op, x: gradient, out, inverse: !op.inverse }));
        break;
      case "sequenceAttention":
        this.#attention(op, gradient);
        break;
      case "glu":
        this.#glu(op, gradient);
        break;
      case "add":
        if (this.#needs(op.a)) gradients.pass(op.a, gradient);
        if (!this.#needs(op.b)) return;
        if (op.factor === 1) gradients.pass(op.b, gradient);
        else toInput(op.b, (out) => this.#ops.push({ kind: "scale", x: gradient, out, factor: op.factor }));
        return;
      case "scale":
        toInput(op.x, (out) => this.#ops.push({ ...op, x: gradient, out }));
        break;
      case "keepColumns": {
        const by = this.#recomputation.value(op.by);
        toInput(op.x, (out) => this.#ops.push({ ...op, x: gradient, by, out }));
        break;
      }
      case "selectOutputs":
        toInput(op.x, (out) => this.#ops.push({ kind: "scatterOutputs", gradient, out }));
        break;
      default:
        throw new Error(`differentiate: ${op.kind} is no forward op`);
    }
  }

  #linear(op: LinearOp, gradient: Buffer): void {
    if (this.#trainable(op.weight)) {
      const x = this.#recomputation.value(op.x);
      this.#ops.push({ kind: "linearWeightGradient", gradient, x, weight: op.weight });
    }
    if (op.bias !== undefined && this.#trainable(op.bias)) {
      this.#ops.push({ kind: "biasGradient", gradient, bias: op.bias });
    }
    if (!this.#needs(op.x)) return;
    this.#gradients.contribute(op.x, (out, accumulate) =>
      this.#ops.push({ kind: "linearInputGradient", gradient, weight: op.weight, out, accumulate }),
    );
  }

  #rmsNorm(op: RmsNormOp, gradient: Buffer): void {
    const { weight, epsilon, groups } = op;
    const facts = { x: this.#recomputation.value(op.x), weight, gradient, epsilon, groups };
    if (this.#trainable(weight)) this.#ops.push({ kind: "rmsNormWeightGradient", ...facts });
    if (!this.#needs(op.x)) return;
    this.#gradients.contribute(op.x, (out, accumulate) =>
      this.#ops.push({ kind: "rmsNormInputGradient", ...facts, out, accumulate }),
    );
  }

  #attention(op: SequenceAttentionOp, gradient: Buffer): void {
    const value = (buffer: Buffer) => this.#recomputation.value(buffer);
    const [query, key, values] = [value(op.query), value(op.key), value(op.value)];
    const [attended, logSumExp] = [value(op.out), value(op.logSumExp)];
    this.#fresh(op.query, (queryGradient) =>
      this.#fresh(op.key, (keyGradient) =>
        this.#fresh(op.value, (valueGradient) =>
          this.#ops.push({
            kind: "attentionGradient",
            query,
            key,
            value: values,
            attended,
            gradient,
            logSumExp,
            queryGradient,
            keyGradient,
            valueGradient,
            facts: op.facts,
          }),
        ),
      ),
    );
  }

  #glu(op: Extract<TrainingOp, { kind: "glu" }>, gradient: Buffer): void {
    const [gate, up] = [this.#recomputation.value(op.gate), this.#recomputation.value(op.up)];
    const { activation } = op;
    this.#fresh(op.gate, (gateGradient) =>
      this.#fresh(op.up, (upGradient) =>
        this.#ops.push({ kind: "gluGradient", gate, up, gradient, gateGradient, upGradient, activation }),
      ),
    );
  }

  /** Adds the penalty's gradient to what the result of a gated unit already has. */
  #penalize(value: Buffer): void {
    const x = this.#recomputation.value(value);
    const sums: Buffer = { name: `${value.name}.l1`, width: 1, rows: value.rows };
    this.#gradients.contribute(value, (gradient, accumulate) => {
      if (!accumulate) throw new Error(`differentiate: ${value.name} has no use that gives it a gradient`);
      this.#ops.push({ kind: "l1Gradient", x, gradient, sums });
    });
  }

  /** Ops with several results compute all of them; gradients nobody needs are simply not read. */
  #fresh(value: Buffer, emit: (out: Buffer) => void): void {
    this.#gradients.contributeFresh(value, emit);
  }

  #needs(value: Buffer): boolean {
    return this.#needed.has(value.name);
  }
}
