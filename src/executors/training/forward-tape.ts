/**
 * Instructions of forward ops and losses (kernels/tape/training.as.ts lists their arguments).
 */
import * as training from "../../kernels/training-layout.ts";
import type { Buffer, LinearOp } from "../../program/program.ts";
import type { ForwardOp, KeepColumnsOp, LossOp, RotateOp } from "../../program/training-ops.ts";
import { floatWord, gateWords, limitWord, SELECTIONS } from "../wasm/tape-codes.ts";
import { fixed, rowsOf, type TapeWords } from "./tape-words.ts";
import { rowStride } from "./training-memory.ts";

export function appendForward(tape: TapeWords, op: ForwardOp): void {
  const places = (...buffers: readonly Buffer[]) => tape.places(...buffers);
  switch (op.kind) {
    case "embed": {
      const { columns } = op.table;
      const words = [tape.value(op.table), 4 * columns, floatWord(op.factor), ...places(op.out)];
      tape.emit(training.OP_EMBED_ROWS, words);
      return;
    }
    case "rmsNorm": {
      const input = [...rowsOf(op.x), ...places(op.x), tape.value(op.weight)];
      const facts = [op.x.width, op.groups, floatWord(op.epsilon)];
      tape.emit(training.OP_NORM_ROWS, [...input, ...places(op.out), ...facts]);
      return;
    }
    case "linear":
      appendLinear(tape, op);
      return;
    case "glu": {
      const facts = [...rowsOf(op.out), ...gateWords(op.activation)];
      const words = [...facts, ...places(op.gate, op.up, op.out), rowStride(op.out)];
      tape.emit(training.OP_GLU_ROWS, words);
      return;
    }
    case "activate": {
      const words = [...rowsOf(op.out), ...gateWords(op.activation), ...places(op.x, op.out)];
      tape.emit(training.OP_ACTIVATE_ROWS, [...words, rowStride(op.out), ...tape.scratch()]);
      return;
    }
    case "add": {
      const facts = [rowStride(op.out), floatWord(op.factor)];
      tape.emit(training.OP_ADD_ROWS, [...rowsOf(op.out), ...places(op.a, op.b, op.out), ...facts]);
      return;
    }
    case "scale": {
      const facts = [rowStride(op.out), floatWord(op.factor)];
      tape.emit(training.OP_SCALE_ROWS, [...rowsOf(op.out), ...places(op.x, op.out), ...facts]);
      return;
    }
    case "selectOutputs":
      tape.emit(training.OP_GATHER_ROWS, [...places(op.x, op.out), rowStride(op.out)]);
      return;
    case "rotate":
      appendRotate(tape, op);
      return;
    case "keepColumns":
      appendKeep(tape, op);
      return;
    case "sequenceAttention": {
      const buffers = places(op.query, op.key, op.value, op.out, op.logSumExp);
      tape.emit(training.OP_SEQUENCE_ATTENTION, [...buffers, ...tape.attention(op.facts)]);
      return;
    }
  }
}

export function appendLoss(tape: TapeWords, op: LossOp): void {
  const { targets, scalars } = tape.memory;
  const { width } = op.logits;
  if (op.kind === "crossEntropy") {
    const buffers = tape.places(op.logits, op.gradient, op.losses);
    tape.emit(training.OP_CROSS_ENTROPY, [...buffers, targets, width, scalars]);
  } else {
    const buffers = tape.places(op.logits, op.teacher, op.gradient, op.losses);
    const facts = [width, floatWord(op.temperature), scalars];
    tape.emit(training.OP_DISTILLATION, [...buffers, ...facts, ...tape.scratch()]);
  }
}

/** y = x W^T; a bias fills y first and the product is added to it. */
function appendLinear(tape: TapeWords, { x, out, weight, bias }: LinearOp): void {
  const { rows, columns } = weight;
  if (bias !== undefined) {
    tape.emit(training.OP_FILL_ROWS, [...rowsOf(out), tape.value(bias), ...tape.places(out), 4 * rows]);
  }
  tape.multiply({
    rows: rowsOf(x),
    steps: fixed(columns),
    columns: rows,
    a: tape.places(x),
    aTransposed: false,
    b: [tape.value(weight), 4 * columns],
    bTransposed: true,
    c: tape.places(out),
    accumulate: bias !== undefined,
    padded: true,
  });
}

function appendKeep(tape: TapeWords, { x, by, out, rule }: KeepColumnsOp): void {
  const facts = [out.width, SELECTIONS[rule.kind].code, limitWord(rule), ...tape.scratch()];
  tape.emit(training.OP_KEEP_COLUMNS, [...rowsOf(out), ...tape.places(by, x, out), ...facts]);
}

function appendRotate(tape: TapeWords, op: RotateOp): void {
  const { x, out, heads, headWidth, table, inverse } = op;
  const angles = tape.memory.angles.get(table.name);
  if (angles === undefined) throw new Error(`training tape: no angles for ${table.name}`);
  const interleaved = table.pairing === "interleaved" ? 1 : 0;
  const facts = [rowStride(out), heads, headWidth, table.inverseFrequencies.length, interleaved];
  const from = inverse ? angles.inverse : angles.forward;
  tape.emit(training.OP_ROTATE, [...tape.places(x, out), ...facts, from]);
}
