/**
 * The ops of a training program: what differentiate.ts turns a Program into. Forward ops keep their meaning
 * but never work in place, losses stand between forward and backward, every forward op has gradient ops.
 *
 * Shape legend as in program.ts; rows are the N tokens of a micro-batch of whole sequences, or the R of them
 * that have a target. `dy` is the gradient of the loss with respect to y. Masks (causality, targets,
 * activation cut-offs) are constants to the gradient. Gradients of weights add up over micro-batches until
 * the optimizer clears them.
 * Invariant: each buffer is written by one op, apart from gradients that later ops add to (`accumulate`).
 */
import type { SelectionRule } from "./column-ops.ts";
import type {
  ActivateOp,
  Activation,
  AddOp,
  Buffer,
  EmbedOp,
  GluOp,
  LinearOp,
  RmsNormOp,
  RotaryTable,
  ScaleOp,
  SelectOutputsOp,
  Weight,
} from "./program.ts";

/**
 * out = x rotated by the token's position, by the opposite angle with `inverse`: its own gradient, backwards.
 */
export interface RotateOp {
  readonly kind: "rotate";
  readonly x: Buffer;
  readonly out: Buffer;
  readonly heads: number;
  readonly headWidth: number;
  readonly table: RotaryTable;
  readonly inverse: boolean;
}

/**
 * out = x in the columns that `rule` chooses by the scores of `by` [N, width], 0 in all others. The choice is
 * a constant to the gradient, so the op is its own gradient: dx = dy in the same columns.
 */
export interface KeepColumnsOp {
  readonly kind: "keepColumns";
  readonly x: Buffer;
  readonly by: Buffer;
  readonly rule: SelectionRule;
  readonly out: Buffer;
}

/** The facts that attention and its gradient share; see AttentionOp. */
export interface AttentionFacts {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly scale: number;
  readonly window: number | undefined;
}

/**
 * Causal attention of every sequence of the batch to itself: query [N, H d], key and value [N, K d].
 * logSumExp [N, H] is ln of the softmax denominator, from which the gradient recomputes the probabilities.
 */
export interface SequenceAttentionOp {
  readonly kind: "sequenceAttention";
  readonly query: Buffer;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly out: Buffer;
  readonly logSumExp: Buffer;
  readonly facts: AttentionFacts;
}

/** losses[r] = -ln softmax(logits[r])[target[r]]; gradient = targetWeight (softmax(logits) - one-hot). */
export interface CrossEntropyOp {
  readonly kind: "crossEntropy";
  readonly logits: Buffer;
  readonly gradient: Buffer;
  readonly losses: Buffer;
}

/**
 * losses[r] = temperature^2 KL(softmax(teacher[r] / temperature) || softmax(logits[r] / temperature)),
 * Hinton et al. 2015; gradient = teacherWeight temperature
 * (softmax(logits / temperature) - softmax(teacher / temperature)).
 */
export interface DistillationOp {
  readonly kind: "distillation";
  readonly logits: Buffer;
  /** [R, V], an input of the step. */
  readonly teacher: Buffer;
  readonly gradient: Buffer;
  readonly losses: Buffer;
  readonly temperature: number;
}

/**
 * sums[n] = sum of |x[n]|; gradient += l1Weight sign(x). The ProSparse penalty on feed-forward activations.
 */
export interface L1GradientOp {
  readonly kind: "l1Gradient";
  readonly x: Buffer;
  readonly gradient: Buffer;
  readonly sums: Buffer;
}

/** dx = dy W, added to what is there with `accumulate`. */
export interface LinearInputGradientOp {
  readonly kind: "linearInputGradient";
  readonly gradient: Buffer;
  readonly weight: Weight;
  readonly out: Buffer;
  readonly accumulate: boolean;
}

/** dW += dy^T x */
export interface LinearWeightGradientOp {
  readonly kind: "linearWeightGradient";
  readonly gradient: Buffer;
  readonly x: Buffer;
  readonly weight: Weight;
}

/** db += sum over rows of dy */
export interface BiasGradientOp {
  readonly kind: "biasGradient";
  readonly gradient: Buffer;
  readonly bias: Weight;
}

/**
 * With x^ = x / rms: dx = (w dy - x^ mean(w dy x^)) / rms per group,
 * added to what is there with `accumulate`.
 */
export interface RmsNormInputGradientOp {
  readonly kind: "rmsNormInputGradient";
  readonly x: Buffer;
  readonly weight: Weight;
  readonly gradient: Buffer;
  readonly out: Buffer;
  readonly epsilon: number;
  readonly groups: number;
  readonly accumulate: boolean;
}

/** dw += sum over rows and groups of dy x / rms */
export interface RmsNormWeightGradientOp {
  readonly kind: "rmsNormWeightGradient";
  readonly x: Buffer;
  readonly weight: Weight;
  readonly gradient: Buffer;
  readonly epsilon: number;
  readonly groups: number;
}

/** Gradients of query, key and value; the probabilities are computed again from query, key and logSumExp. */
export interface AttentionGradientOp {
  readonly kind: "attentionGradient";
  readonly query: Buffer;
  readonly key: Buffer;
  readonly value: Buffer;
  /** The op's result and its gradient. */
  readonly attended: Buffer;
  readonly gradient: Buffer;
  readonly logSumExp: Buffer;
  readonly queryGradient: Buffer;
  readonly keyGradient: Buffer;
  readonly valueGradient: Buffer;
  readonly facts: AttentionFacts;
}

/** dgate = dy up activation'(gate), dup = dy activation(gate) */
export interface GluGradientOp {
  readonly kind: "gluGradient";
  readonly gate: Buffer;
  readonly up: Buffer;
  readonly gradient: Buffer;
  readonly gateGradient: Buffer;
  readonly upGradient: Buffer;
  readonly activation: Activation;
}

/** dtable[token[n]] += factor dy[n] */
export interface EmbedGradientOp {
  readonly kind: "embedGradient";
  readonly gradient: Buffer;
  readonly table: Weight;
  readonly factor: number;
}

/** out [N] = 0, then out[outputs[r]] = gradient[r] [R]. */
export interface ScatterOutputsOp {
  readonly kind: "scatterOutputs";
  readonly gradient: Buffer;
  readonly out: Buffer;
}

export type LossOp = CrossEntropyOp | DistillationOp;

/** Ops that compute what the model computes. */
export type ForwardOp =
  | EmbedOp
  | RmsNormOp
  | LinearOp
  | GluOp
  | ActivateOp
  | AddOp
  | ScaleOp
  | SelectOutputsOp
  | RotateOp
  | KeepColumnsOp
  | SequenceAttentionOp;

/**
 * Ops that only gradients need; the backward pass also uses forward ops (add, scale, rotate,
 * keepColumns, recomputation).
 */
export type GradientOp =
  | L1GradientOp
  | LinearInputGradientOp
  | LinearWeightGradientOp
  | BiasGradientOp
  | RmsNormInputGradientOp
  | RmsNormWeightGradientOp
  | AttentionGradientOp
  | GluGradientOp
  | EmbedGradientOp
  | ScatterOutputsOp;

export type TrainingOp = ForwardOp | LossOp | GradientOp;

const FORWARD_KINDS: Readonly<Record<ForwardOp["kind"], true>> = {
  embed: true,
  rmsNorm: true,
  linear: true,
  glu: true,
  activate: true,
  add: true,
  scale: true,
  selectOutputs: true,
  rotate: true,
  keepColumns: true,
  sequenceAttention: true,
};

export function isForwardOp(op: TrainingOp): op is ForwardOp {
  return op.kind in FORWARD_KINDS;
}

/** A tensor of the checkpoint that the program uses, and whether the optimizer may change it. */
export interface Parameter {
  readonly tensor: string;
  /** Values of the rows that the program's weights name. */
  readonly size: number;
  /** Weight decay is for matrices only, as is usual. */
  readonly kind: "matrix" | "vector";
  readonly trainable: boolean;
}

export interface TrainingProgram {
  readonly name: string;
  readonly ops: readonly TrainingOp[];
  /** Ops that give the losses; the rest is the backward pass. Evaluation runs only these. */
  readonly forwardOps: number;
  /** [R, V] */
  readonly logits: Buffer;
  /** Buffers of one column that the step reports: per-row losses, per-row sums of |x| for every L1 term. */
  readonly losses: readonly Buffer[];
  readonly l1Sums: readonly Buffer[];
  /** Teacher logits [R, V], where the program distils. */
  readonly teacher: Buffer | undefined;
  readonly parameters: readonly Parameter[];
  readonly vocabularySize: number;
  readonly contextLength: number;
}
