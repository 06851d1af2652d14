/**
 * Training ops on the reference kernels: which kernel each op is, and with what.
 */
import { add } from "../../kernels/add/reference.ts";
import { attentionGradient, sequenceAttention } from "../../kernels/attention/sequence-reference.ts";
import { embedGradient } from "../../kernels/embed/gradient-reference.ts";
import { embed } from "../../kernels/embed/reference.ts";
import { gluGradient } from "../../kernels/glu/gradient-reference.ts";
import { activateAll, glu } from "../../kernels/glu/reference.ts";
import {
  biasGradient,
  linearInputGradient,
  linearWeightGradient,
} from "../../kernels/linear/gradient-reference.ts";
import { linear } from "../../kernels/linear/reference.ts";
import { crossEntropy, distillation, l1Gradient } from "../../kernels/loss/reference.ts";
import { rmsNormInputGradient, rmsNormWeightGradient } from "../../kernels/rms-norm/gradient-reference.ts";
import { rmsNorm } from "../../kernels/rms-norm/reference.ts";
import { rope } from "../../kernels/rope/reference.ts";
import { scale } from "../../kernels/scale/reference.ts";
import { keepColumns } from "../../kernels/select-columns/keep-reference.ts";
import { scatterOutputs } from "../../kernels/select-outputs/gradient-reference.ts";
import { selectOutputs } from "../../kernels/select-outputs/reference.ts";
import type { Buffer, LinearOp, RmsNormOp, Weight } from "../../program/program.ts";
import {
  type AttentionGradientOp,
  type ForwardOp,
  type GradientOp,
  isForwardOp,
  type LossOp,
  type RotateOp,
  type TrainingOp,
} from "../../program/training-ops.ts";
import type { LossWeights, TrainingBatch } from "./training-executor.ts";

/** Values that an op of a step works on. */
export interface OpContext {
  readonly batch: TrainingBatch;
  readonly weights: LossWeights;
  /** A buffer's values, [rows, width]. */
  of(buffer: Buffer): Float64Array;
  rows(buffer: Buffer): number;
  /** A weight's values and their gradient, [rows, columns]. */
  value(weight: Weight): Float64Array;
  slope(weight: Weight): Float64Array;
}

export function runOp(op: TrainingOp, context: OpContext): void {
  if (isForwardOp(op)) runForward(op, context);
  else if (op.kind === "crossEntropy" || op.kind === "distillation") runLoss(op, context);
  else runGradient(op, context);
}

function runForward(op: ForwardOp, context: OpContext): void {
  const { batch, of, rows, value } = context;
  switch (op.kind) {
    case "embed":
      embed(of(op.out), value(op.table), batch.tokens, op.out.width, op.factor);
      return;
    case "rmsNorm":
      runNorm(op, context);
      return;
    case "linear":
      runLinear(op, context);
      return;
    case "glu":
      glu(of(op.out), of(op.gate), of(op.up), rows(op.out) * op.out.width, op.activation);
      return;
    case "activate":
      activateAll(of(op.out), of(op.x), rows(op.out) * op.out.width, op.activation);
      return;
    case "add":
      add(of(op.out), of(op.a), of(op.b), rows(op.out) * op.out.width, op.factor);
      return;
    case "scale":
      scale(of(op.out), of(op.x), rows(op.out) * op.out.width, op.factor);
      return;
    case "selectOutputs":
      selectOutputs(of(op.out), of(op.x), batch.outputs, op.out.width);
      return;
    case "rotate":
      runRotate(op, context);
      return;
    case "keepColumns":
      keepColumns(of(op.out), of(op.x), of(op.by), rows(op.out), op.out.width, op.rule);
      return;
    case "sequenceAttention": {
      const inputs = { query: of(op.query), key: of(op.key), value: of(op.value) };
      sequenceAttention(of(op.out), of(op.logSumExp), inputs, batch, op.facts);
      return;
    }
  }
}

function runNorm(op: RmsNormOp, { of, rows, value }: OpContext): void {
  const { x, out, weight, groups, epsilon } = op;
  rmsNorm(of(out), of(x), value(weight), rows(x), x.width, groups, epsilon);
}

function runLinear({ x, out, weight, bias }: LinearOp, { of, rows, value }: OpContext): void {
  const all = { first: 0, end: weight.rows };
  const added = bias === undefined ? undefined : value(bias);
  linear(of(out), of(x), value(weight), added, rows(x), weight.columns, weight.rows, all);
}

function runRotate(op: RotateOp, { of, batch }: OpContext): void {
  const out = of(op.out);
  out.set(of(op.x));
  const positions = op.inverse ? batch.positions.map((position) => -position) : batch.positions;
  rope(out, positions, op.heads, op.headWidth, op.table);
}

function runLoss(op: LossOp, { of, batch, weights }: OpContext): void {
  const [logits, gradient, losses] = [of(op.logits), of(op.gradient), of(op.losses)];
  const { width } = op.logits;
  if (op.kind === "crossEntropy") {
    crossEntropy(gradient, losses, logits, batch.targets, width, weights.target);
  } else {
    const rows = batch.outputs.length;
    distillation(gradient, losses, logits, of(op.teacher), rows, width, op.temperature, weights.teacher);
  }
}

function runGradient(op: GradientOp, context: OpContext): void {
  const { batch, weights, of, rows, value, slope } = context;
  switch (op.kind) {
    case "l1Gradient":
      l1Gradient(of(op.gradient), of(op.sums), of(op.x), rows(op.x), op.x.width, weights.l1);
      return;
    case "linearInputGradient": {
      const { columns, rows: outputs } = op.weight;
      const [dx, dy] = [of(op.out), of(op.gradient)];
      linearInputGradient(dx, dy, value(op.weight), rows(op.out), columns, outputs, op.accumulate);
      return;
    }
    case "linearWeightGradient": {
      const { columns, rows: outputs } = op.weight;
      linearWeightGradient(slope(op.weight), of(op.gradient), of(op.x), rows(op.x), columns, outputs);
      return;
    }
    case "biasGradient":
      biasGradient(slope(op.bias), of(op.gradient), rows(op.gradient), op.gradient.width);
      return;
    case "rmsNormInputGradient": {
      const shape = { rows: rows(op.x), width: op.x.width, groups: op.groups, epsilon: op.epsilon };
      const [dx, dy] = [of(op.out), of(op.gradient)];
      rmsNormInputGradient(dx, dy, of(op.x), value(op.weight), shape, op.accumulate);
      return;
    }
    case "rmsNormWeightGradient": {
      const shape = { rows: rows(op.x), width: op.x.width, groups: op.groups, epsilon: op.epsilon };
      rmsNormWeightGradient(slope(op.weight), of(op.gradient), of(op.x), shape);
      return;
    }
    case "attentionGradient":
      runAttentionGradient(op, context);
      return;
    case "gluGradient": {
      const [dGate, dUp] = [of(op.gateGradient), of(op.upGradient)];
      const count = rows(op.gate) * op.gate.width;
      gluGradient(dGate, dUp, of(op.gradient), of(op.gate), of(op.up), count, op.activation);
      return;
    }
    case "embedGradient":
      embedGradient(slope(op.table), of(op.gradient), batch.tokens, op.table.columns, op.factor);
      return;
    case "scatterOutputs":
      scatterOutputs(of(op.out), of(op.gradient), batch.outputs, batch.tokens.length, op.out.width);
      return;
  }
}

function runAttentionGradient(op: AttentionGradientOp, { of, batch }: OpContext): void {
  const inputs = { query: of(op.query), key: of(op.key), value: of(op.value) };
  const gradients = { query: of(op.queryGradient), key: of(op.keyGradient), value: of(op.valueGradient) };
  const [dy, attended, logSumExp] = [of(op.gradient), of(op.attended), of(op.logSumExp)];
  attentionGradient(gradients, dy, attended, logSumExp, inputs, batch, op.facts);
}
