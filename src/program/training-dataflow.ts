/**
 * What each training op touches, for the memory plan, the checks and the parameter list.
 */
import type { Buffer, Weight } from "./program.ts";
import type { Parameter, TrainingOp } from "./training-ops.ts";

export interface Touched {
  readonly reads: readonly Buffer[];
  /** Includes gradients that are added to. */
  readonly writes: readonly Buffer[];
  readonly weights: readonly Weight[];
}

export function touchedBy(op: TrainingOp): Touched {
  switch (op.kind) {
    case "embed":
      return { reads: [], writes: [op.out], weights: [op.table] };
    case "rmsNorm":
      return { reads: [op.x], writes: [op.out], weights: [op.weight] };
    case "linear":
      return {
        reads: [op.x],
        writes: [op.out],
        weights: op.bias === undefined ? [op.weight] : [op.weight, op.bias],
      };
    case "glu":
      return { reads: [op.gate, op.up], writes: [op.out], weights: [] };
    case "add":
      return { reads: [op.a, op.b], writes: [op.out], weights: [] };
    case "activate":
    case "scale":
    case "selectOutputs":
    case "rotate":
      return { reads: [op.x], writes: [op.out], weights: [] };
    case "keepColumns":
      return { reads: [op.x, op.by], writes: [op.out], weights: [] };
    case "sequenceAttention":
      return { reads: [op.query, op.key, op.value], writes: [op.out, op.logSumExp], weights: [] };
    case "crossEntropy":
      return { reads: [op.logits], writes: [op.gradient, op.losses], weights: [] };
    case "distillation":
      return { reads: [op.logits, op.teacher], writes: [op.gradient, op.losses], weights: [] };
    case "l1Gradient":
      return { reads: [op.x], writes: [op.gradient, op.sums], weights: [] };
    case "linearInputGradient":
      return { reads: [op.gradient], writes: [op.out], weights: [op.weight] };
    case "linearWeightGradient":
      return { reads: [op.gradient, op.x], writes: [], weights: [op.weight] };
    case "biasGradient":
      return { reads: [op.gradient], writes: [], weights: [op.bias] };
    case "rmsNormInputGradient":
      return { reads: [op.x, op.gradient], writes: [op.out], weights: [op.weight] };
    case "rmsNormWeightGradient":
      return { reads: [op.x, op.gradient], writes: [], weights: [op.weight] };
    case "attentionGradient":
      return {
        reads: [op.query, op.key, op.value, op.attended, op.gradient, op.logSumExp],
        writes: [op.queryGradient, op.keyGradient, op.valueGradient],
        weights: [],
      };
    case "gluGradient":
      return {
        reads: [op.gate, op.up, op.gradient],
        writes: [op.gateGradient, op.upGradient],
        weights: [],
      };
    case "embedGradient":
      return { reads: [op.gradient], writes: [], weights: [op.table] };
    case "scatterOutputs":
      return { reads: [op.gradient], writes: [op.out], weights: [] };
  }
}

/** All tensors that weights of `ops` lie in; parts of fused tensors and tied heads count once. */
export function listParameters(
  ops: readonly TrainingOp[],
  trainable: (weight: Weight) => boolean,
): readonly Parameter[] {
  const byTensor = new Map<string, Parameter>();
  for (const weight of ops.flatMap((op) => touchedBy(op).weights)) {
    const known = byTensor.get(weight.tensor);
    byTensor.set(weight.tensor, {
      tensor: weight.tensor,
      size: Math.max(known?.size ?? 0, (weight.firstRow + weight.rows) * weight.columns),
      kind: known?.kind === "matrix" || weight.rows > 1 ? "matrix" : "vector",
      trainable: (known?.trainable ?? false) || trainable(weight),
    });
  }
  return [...byTensor.values()];
}
