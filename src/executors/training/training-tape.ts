/**
 * Compiles a training program into tapes (kernels/tape/training.as.ts): the losses alone, losses and gradients, the
 * gradient norm, the update. Every instruction is followed by a barrier: they take milliseconds, barriers microseconds.
 */
import * as layout from "../../kernels/layout.ts";
import * as training from "../../kernels/training-layout.ts";
import type { Activation, Buffer, Weight } from "../../program/program.ts";
import type { AttentionFacts, TrainingOp, TrainingProgram } from "../../program/training-ops.ts";
import { rowStride, type TrainingMemory, weightOffset } from "./training-memory.ts";

export type TrainingTape = "losses" | "gradients" | "norm" | "update";

export function buildTrainingTapes(
  program: TrainingProgram,
  memory: TrainingMemory,
): Record<TrainingTape, Uint32Array<ArrayBuffer>> {
  const compile = (emit: (builder: TapeBuilder) => void) => {
    const builder = new TapeBuilder(memory);
    emit(builder);
    return builder.finish();
  };
  return {
    losses: compile((builder) => {
      for (const op of program.ops.slice(0, program.forwardOps)) builder.append(op);
    }),
    gradients: compile((builder) => {
      for (const op of program.ops) builder.append(op);
    }),
    norm: compile((builder) => builder.squareSums()),
    update: compile((builder) => {
      for (const { tensor, kind, trainable } of program.parameters) {
        if (trainable) builder.update(tensor, kind === "matrix");
      }
    }),
  };
}

class TapeBuilder {
  readonly #memory: TrainingMemory;
  readonly #words: number[] = [];
  readonly #floats = new DataView(new ArrayBuffer(4));

  constructor(memory: TrainingMemory) {
    this.#memory = memory;
  }

  finish(): Uint32Array<ArrayBuffer> {
    this.#words.push(layout.OP_END, 2);
    return new Uint32Array(this.#words);
  }

  squareSums(): void {
    const { gradients, squareSums } = this.#memory;
    this.#emit(training.OP_SQUARE_SUMS, [gradients.address, gradients.bytes, squareSums]);
  }

  update(tensor: string, decays: boolean): void {
    const { weights, gradients, first, second, size } = this.#parameter(tensor);
    if (gradients === undefined || first === undefined || second === undefined)
      throw new Error(`training tape: ${tensor} is not trainable`);
    const bytes = 16 * Math.ceil(size / 4);
    const { scalars } = this.#memory;
    this.#emit(training.OP_ADAMW, [weights, gradients, first, second, bytes, scalars, decays ? 1 : 0]);
  }

  append(op: TrainingOp): void {
    const { targets, scalars } = this.#memory;
    switch (op.kind) {
      case "embed": {
        const { address, stride } = this.#buffer(op.out);
        const words = [this.#value(op.table), 4 * op.table.columns, this.#float(op.factor), address, stride];
        this.#emit(training.OP_EMBED_ROWS, words);
        return;
      }
      case "rmsNorm": {
        const facts = [op.x.width, op.groups, this.#float(op.epsilon)];
        const weight = this.#value(op.weight);
        this.#emit(training.OP_NORM_ROWS, [
          ...rowsOf(op.x),
          ...this.#place(op.x),
          weight,
          ...this.#place(op.out),
          ...facts,
        ]);
        return;
      }
      case "linear":
        this.#linear(op);
        return;
      case "glu":
        this.#emit(training.OP_GLU_ROWS, [
          ...rowsOf(op.out),
          ...this.#activation(op.activation),
          ...this.#places(op.gate, op.up, op.out),
          rowStride(op.out),
        ]);
        return;
      case "add":
        this.#emit(training.OP_ADD_ROWS, [
          ...rowsOf(op.out),
          ...this.#places(op.a, op.b, op.out),
          rowStride(op.out),
          this.#float(op.factor),
        ]);
        return;
      case "scale":
        this.#emit(training.OP_SCALE_ROWS, [
          ...rowsOf(op.out),
          ...this.#places(op.x, op.out),
          rowStride(op.out),
          this.#float(op.factor),
        ]);
        return;
      case "selectOutputs":
        this.#emit(training.OP_GATHER_ROWS, [...this.#places(op.x, op.out), rowStride(op.out)]);
        return;
      case "scatterOutputs":
        this.#emit(training.OP_SCATTER_ROWS, [...this.#places(op.gradient, op.out), rowStride(op.out)]);
        return;
      case "rotate":
        this.#rotate(op);
        return;
      case "sequenceAttention":
        this.#emit(training.OP_SEQUENCE_ATTENTION, [
          ...this.#places(op.query, op.key, op.value, op.out, op.logSumExp),
          ...this.#attention(op.facts),
        ]);
        return;
      case "attentionGradient":
        this.#emit(training.OP_ATTENTION_GRADIENT, [
          ...this.#places(op.query, op.key, op.value, op.attended, op.gradient, op.logSumExp),
          ...this.#places(op.queryGradient, op.keyGradient, op.valueGradient),
          ...this.#attention(op.facts),
        ]);
        return;
      case "crossEntropy":
        this.#emit(training.OP_CROSS_ENTROPY, [
          ...this.#places(op.logits, op.gradient, op.losses),
          targets,
          op.logits.width,
          scalars,
        ]);
        return;
      case "distillation":
        this.#emit(training.OP_DISTILLATION, [
          ...this.#places(op.logits, op.teacher, op.gradient, op.losses),
          op.logits.width,
          this.#float(op.temperature),
          scalars,
          ...this.#scratch(),
        ]);
        return;
      case "l1Gradient":
        this.#emit(training.OP_L1_GRADIENT, [
          ...rowsOf(op.x),
          ...this.#places(op.x, op.gradient, op.sums),
          op.x.width,
          scalars,
        ]);
        return;
      case "linearInputGradient":
        this.#linearInputGradient(op);
        return;
      case "linearWeightGradient":
        this.#linearWeightGradient(op);
        return;
      case "biasGradient": {
        const target = this.#gradient(op.bias);
        const width = op.gradient.width;
        this.#emit(training.OP_COLUMN_SUMS, [
          ...rowsOf(op.gradient),
          ...this.#place(op.gradient),
          target,
          width,
        ]);
        return;
      }
      case "rmsNormWeightGradient":
        this.#normWeightGradient(op);
        return;
      case "rmsNormInputGradient":
        this.#emit(training.OP_NORM_INPUT_GRADIENT, [
          ...rowsOf(op.x),
          ...this.#place(op.x),
          this.#value(op.weight),
          ...this.#places(op.gradient, op.out),
          op.x.width,
          op.groups,
          this.#float(op.epsilon),
          op.accumulate ? 1 : 0,
        ]);
        return;
      case "gluGradient":
        this.#emit(training.OP_GLU_GRADIENT, [
          ...rowsOf(op.gate),
          ...this.#activation(op.activation),
          ...this.#places(op.gate, op.up, op.gradient, op.gateGradient, op.upGradient),
          rowStride(op.gate),
        ]);
        return;
      case "embedGradient":
        this.#emit(training.OP_EMBED_GRADIENT, [
          ...this.#place(op.gradient),
          this.#gradient(op.table),
          op.table.columns,
          this.#float(op.factor),
        ]);
        return;
    }
  }

  /** y = x W^T (+ bias, which the product is then added to) */
  #linear(op: Extract<TrainingOp, { kind: "linear" }>): void {
    const { rows, columns } = op.weight;
    if (op.bias !== undefined) {
      const words = [...rowsOf(op.out), this.#value(op.bias), ...this.#place(op.out), 4 * rows];
      this.#emit(training.OP_FILL_ROWS, words);
    }
    this.#packColumns(fixed(columns), rows, this.#value(op.weight), 4 * columns, true);
    this.#multiply(rowsOf(op.x), fixed(columns), rows, {
      a: this.#place(op.x),
      aTransposed: false,
      c: this.#place(op.out),
      accumulate: op.bias !== undefined,
      padded: true,
    });
  }

  /** dx = dy W */
  #linearInputGradient(op: Extract<TrainingOp, { kind: "linearInputGradient" }>): void {
    const { rows, columns } = op.weight;
    this.#packColumns(fixed(rows), columns, this.#value(op.weight), 4 * columns, false);
    this.#multiply(rowsOf(op.out), fixed(rows), columns, {
      a: this.#place(op.gradient),
      aTransposed: false,
      c: this.#place(op.out),
      accumulate: op.accumulate,
      padded: true,
    });
  }

  /** dW += dy^T x */
  #linearWeightGradient(op: Extract<TrainingOp, { kind: "linearWeightGradient" }>): void {
    const { rows, columns } = op.weight;
    const x = this.#buffer(op.x);
    this.#packColumns(rowsOf(op.x), columns, x.address, x.stride, false);
    this.#multiply(fixed(rows), rowsOf(op.x), columns, {
      a: this.#place(op.gradient),
      aTransposed: true,
      c: [this.#gradient(op.weight), 4 * columns],
      accumulate: true,
      padded: false,
    });
  }

  #packColumns(
    steps: readonly number[],
    columns: number,
    source: number,
    stride: number,
    transposed: boolean,
  ): void {
    const { packed } = this.#memory;
    this.#emit(training.OP_PACK_COLUMNS, [...steps, columns, source, stride, transposed ? 1 : 0, packed]);
  }

  #multiply(
    rows: readonly number[],
    steps: readonly number[],
    columns: number,
    how: {
      readonly a: readonly number[];
      readonly aTransposed: boolean;
      readonly c: readonly number[];
      readonly accumulate: boolean;
      readonly padded: boolean;
    },
  ): void {
    this.#emit(training.OP_MULTIPLY, [
      ...rows,
      ...steps,
      columns,
      ...how.a,
      how.aTransposed ? 1 : 0,
      this.#memory.packed,
      ...how.c,
      how.accumulate ? 1 : 0,
      how.padded ? 1 : 0,
      ...this.#scratch(),
    ]);
  }

  #normWeightGradient(op: Extract<TrainingOp, { kind: "rmsNormWeightGradient" }>): void {
    const { inverses } = this.#memory;
    const facts = [op.x.width, op.groups];
    const rows = [...rowsOf(op.x), ...this.#place(op.x)];
    this.#emit(training.OP_NORM_INVERSES, [...rows, inverses, ...facts, this.#float(op.epsilon)]);
    const target = this.#gradient(op.weight);
    this.#emit(training.OP_NORM_WEIGHT_GRADIENT, [
      ...rows,
      ...this.#place(op.gradient),
      inverses,
      target,
      ...facts,
    ]);
  }

  #rotate(op: Extract<TrainingOp, { kind: "rotate" }>): void {
    const angles = this.#memory.angles.get(op.table.name);
    if (angles === undefined) throw new Error(`training tape: no angles for ${op.table.name}`);
    this.#emit(training.OP_ROTATE, [
      ...this.#places(op.x, op.out),
      rowStride(op.out),
      op.heads,
      op.headWidth,
      op.table.inverseFrequencies.length,
      op.table.pairing === "interleaved" ? 1 : 0,
      op.inverse ? angles.inverse : angles.forward,
    ]);
  }

  #attention({ heads, kvHeads, headWidth, scale, window }: AttentionFacts): number[] {
    const { bounds, scalars } = this.#memory;
    return [heads, kvHeads, headWidth, this.#float(scale), window ?? 0, bounds, scalars, ...this.#scratch()];
  }

  #activation(activation: Activation): number[] {
    const codes = {
      silu: layout.GATE_SILU,
      gelu: layout.GATE_GELU,
      geluTanh: layout.GATE_GELU_TANH,
      relu: layout.GATE_RELU,
      fatrelu: layout.GATE_FATRELU,
    };
    const threshold = activation.kind === "fatrelu" ? activation.threshold : 0;
    return [codes[activation.kind], this.#float(threshold)];
  }

  #scratch(): number[] {
    return [this.#memory.scratch, this.#memory.scratchStride];
  }

  #buffer(buffer: Buffer): { address: number; stride: number } {
    const placed = this.#memory.buffers.get(buffer.name);
    if (placed === undefined) throw new Error(`training tape: buffer ${buffer.name} has no place`);
    return placed;
  }

  #place(buffer: Buffer): number[] {
    const { address, stride } = this.#buffer(buffer);
    return [address, stride];
  }

  #places(...buffers: readonly Buffer[]): number[] {
    return buffers.flatMap((buffer) => this.#place(buffer));
  }

  #parameter(tensor: string) {
    const placed = this.#memory.parameters.get(tensor);
    if (placed === undefined) throw new Error(`training tape: no parameter ${tensor}`);
    return placed;
  }

  #value(weight: Weight): number {
    return this.#parameter(weight.tensor).weights + 4 * weightOffset(weight);
  }

  #gradient(weight: Weight): number {
    const { gradients } = this.#parameter(weight.tensor);
    if (gradients === undefined) throw new Error(`training tape: ${weight.tensor} is not trainable`);
    return gradients + 4 * weightOffset(weight);
  }

  #float(value: number): number {
    this.#floats.setFloat32(0, value);
    return this.#floats.getUint32(0);
  }

  #emit(opcode: number, words: readonly number[]): void {
    this.#words.push(opcode, words.length + 2, ...words, layout.OP_BARRIER, 2);
  }
}

function rowsOf(buffer: Buffer): readonly number[] {
  return [buffer.rows === "tokens" ? training.EXTENT_TOKENS : training.EXTENT_OUTPUTS, 0];
}

function fixed(count: number): readonly number[] {
  return [training.EXTENT_FIXED, count];
}
