/**
 * Instructions of gradient ops (kernels/tape/training.as.ts lists their arguments).
 */
import * as training from "../../kernels/training-layout.ts";
import type {
  AttentionGradientOp,
  GradientOp,
  LinearInputGradientOp,
  LinearWeightGradientOp,
  RmsNormInputGradientOp,
  RmsNormWeightGradientOp,
} from "../../program/training-ops.ts";
import { floatWord, gateWords } from "../wasm/tape-codes.ts";
import { fixed, rowsOf, type TapeWords } from "./tape-words.ts";
import { rowStride } from "./training-memory.ts";

export function appendGradient(tape: TapeWords, op: GradientOp): void {
  switch (op.kind) {
    case "l1Gradient": {
      const buffers = tape.places(op.x, op.gradient, op.sums);
      const words = [...rowsOf(op.x), ...buffers, op.x.width, tape.memory.scalars];
      tape.emit(training.OP_L1_GRADIENT, words);
      return;
    }
    case "linearInputGradient":
      appendLinearInput(tape, op);
      return;
    case "linearWeightGradient":
      appendLinearWeight(tape, op);
      return;
    case "biasGradient": {
      const target = [tape.gradient(op.bias), op.gradient.width];
      tape.emit(training.OP_BIAS_GRADIENT, [...rowsOf(op.gradient), ...tape.places(op.gradient), ...target]);
      return;
    }
    case "rmsNormInputGradient":
      appendNormInput(tape, op);
      return;
    case "rmsNormWeightGradient":
      appendNormWeight(tape, op);
      return;
    case "attentionGradient":
      appendAttention(tape, op);
      return;
    case "gluGradient": {
      const buffers = tape.places(op.gate, op.up, op.gradient, op.gateGradient, op.upGradient);
      const facts = [...rowsOf(op.gate), ...gateWords(op.activation)];
      tape.emit(training.OP_GLU_GRADIENT, [...facts, ...buffers, rowStride(op.gate)]);
      return;
    }
    case "embedGradient": {
      const target = [tape.gradient(op.table), op.table.columns, floatWord(op.factor)];
      tape.emit(training.OP_EMBED_GRADIENT, [...tape.places(op.gradient), ...target]);
      return;
    }
    case "scatterOutputs":
      tape.emit(training.OP_SCATTER_ROWS, [...tape.places(op.gradient, op.out), rowStride(op.out)]);
      return;
  }
}

/** dx (+)= dy W */
function appendLinearInput(
  tape: TapeWords,
  { gradient, weight, out, accumulate }: LinearInputGradientOp,
): void {
  const { rows, columns } = weight;
  tape.multiply({
    rows: rowsOf(out),
    steps: fixed(rows),
    columns,
    a: tape.places(gradient),
    aTransposed: false,
    b: [tape.value(weight), 4 * columns],
    bTransposed: false,
    c: tape.places(out),
    accumulate,
    padded: true,
  });
}

/** dW += dy^T x */
function appendLinearWeight(tape: TapeWords, { gradient, weight, x }: LinearWeightGradientOp): void {
  const { rows, columns } = weight;
  tape.multiply({
    rows: fixed(rows),
    steps: rowsOf(x),
    columns,
    a: tape.places(gradient),
    aTransposed: true,
    b: tape.places(x),
    bTransposed: false,
    c: [tape.gradient(weight), 4 * columns],
    accumulate: true,
    padded: false,
  });
}

function appendNormInput(tape: TapeWords, op: RmsNormInputGradientOp): void {
  const input = [...rowsOf(op.x), ...tape.places(op.x), tape.value(op.weight)];
  const facts = [op.x.width, op.groups, floatWord(op.epsilon), op.accumulate ? 1 : 0];
  tape.emit(training.OP_NORM_INPUT_GRADIENT, [...input, ...tape.places(op.gradient, op.out), ...facts]);
}

function appendNormWeight(tape: TapeWords, op: RmsNormWeightGradientOp): void {
  const { inverses } = tape.memory;
  const input = [...rowsOf(op.x), ...tape.places(op.x)];
  const facts = [op.x.width, op.groups];
  tape.emit(training.OP_NORM_INVERSES, [...input, inverses, ...facts, floatWord(op.epsilon)]);
  const target = tape.gradient(op.weight);
  const words = [...input, ...tape.places(op.gradient), inverses, target, ...facts];
  tape.emit(training.OP_NORM_WEIGHT_GRADIENT, words);
}

function appendAttention(tape: TapeWords, op: AttentionGradientOp): void {
  const inputs = tape.places(op.query, op.key, op.value, op.attended, op.gradient, op.logSumExp);
  const results = tape.places(op.queryGradient, op.keyGradient, op.valueGradient);
  tape.emit(training.OP_ATTENTION_GRADIENT, [...inputs, ...results, ...tape.attention(op.facts)]);
}
