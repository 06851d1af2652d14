/**
 * The reference trainer: interprets a training program op by op with the scalar kernels, all values in f64. Written to
 * be read, to be checked by finite differences and to be the oracle of the wasm kernels; speed is no aim.
 */
import { add } from "../../kernels/add/reference.ts";
import { attentionGradient, sequenceAttention } from "../../kernels/attention/sequence-reference.ts";
import { embedGradient } from "../../kernels/embed/gradient-reference.ts";
import { embed } from "../../kernels/embed/reference.ts";
import { gluGradient } from "../../kernels/glu/gradient-reference.ts";
import { glu } from "../../kernels/glu/reference.ts";
import {
  biasGradient,
  linearInputGradient,
  linearWeightGradient,
} from "../../kernels/linear/gradient-reference.ts";
import { linear } from "../../kernels/linear/reference.ts";
import { crossEntropy, distillation, l1Gradient } from "../../kernels/loss/reference.ts";
import { type AdamWSettings, adamW } from "../../kernels/optimizer/reference.ts";
import { rmsNormInputGradient, rmsNormWeightGradient } from "../../kernels/rms-norm/gradient-reference.ts";
import { rmsNorm } from "../../kernels/rms-norm/reference.ts";
import { rope } from "../../kernels/rope/reference.ts";
import { scale } from "../../kernels/scale/reference.ts";
import { scatterOutputs } from "../../kernels/select-outputs/gradient-reference.ts";
import { selectOutputs } from "../../kernels/select-outputs/reference.ts";
import type { Buffer, Weight } from "../../program/program.ts";
import type { RotateOp, TrainingOp, TrainingProgram } from "../../program/training-ops.ts";
import {
  type BatchLosses,
  checkBatch,
  type LossWeights,
  type ParameterPart,
  type TrainingBatch,
  type TrainingExecutor,
  type TrainingLimits,
} from "./training-executor.ts";

type Parts = Record<ParameterPart, Float64Array>;

const NO_GRADIENT: LossWeights = { target: 0, teacher: 0, l1: 0 };

export class ReferenceTraining implements TrainingExecutor {
  readonly program: TrainingProgram;
  readonly limits: TrainingLimits;
  readonly #parameters: ReadonlyMap<string, Parts>;
  readonly #buffers = new Map<string, Float64Array>();

  /** All parameters are zero until they are written. */
  constructor(program: TrainingProgram, limits: TrainingLimits) {
    this.program = program;
    this.limits = limits;
    this.#parameters = new Map(
      program.parameters.map(({ tensor, size }) => [
        tensor,
        {
          weights: new Float64Array(size),
          gradients: new Float64Array(size),
          first: new Float64Array(size),
          second: new Float64Array(size),
        },
      ]),
    );
  }

  get activationBytes(): number {
    return [...this.#buffers.values()].reduce((sum, buffer) => sum + buffer.byteLength, 0);
  }

  async evaluate(batch: TrainingBatch): Promise<BatchLosses> {
    return this.#run(this.program.ops.slice(0, this.program.forwardOps), batch, NO_GRADIENT);
  }

  async accumulate(batch: TrainingBatch, weights: LossWeights): Promise<BatchLosses> {
    return this.#run(this.program.ops, batch, weights);
  }

  async gradientNorm(): Promise<number> {
    let sum = 0;
    for (const { gradients } of this.#trainable()) for (const value of gradients) sum += value * value;
    return Math.sqrt(sum);
  }

  async update(settings: AdamWSettings): Promise<void> {
    for (const parameter of this.program.parameters) {
      if (!parameter.trainable) continue;
      const { weights, gradients, first, second } = this.#parts(parameter.tensor);
      const weightDecay = parameter.kind === "matrix" ? settings.weightDecay : 0;
      adamW(weights, gradients, first, second, { ...settings, weightDecay });
      gradients.fill(0);
    }
  }

  read(tensor: string, part: ParameterPart): Float32Array {
    return Float32Array.from(this.#parts(tensor)[part]);
  }

  /** As `read`, with all digits. */
  values(tensor: string, part: ParameterPart): Float64Array {
    return this.#parts(tensor)[part];
  }

  write(tensor: string, part: ParameterPart, values: Float32Array | Float64Array): void {
    this.#parts(tensor)[part].set(values);
  }

  async dispose(): Promise<void> {
    this.#buffers.clear();
  }

  /** Values of a buffer after a step, for tests. */
  bufferValues(name: string): Float64Array | undefined {
    return this.#buffers.get(name);
  }

  #run(ops: readonly TrainingOp[], batch: TrainingBatch, weights: LossWeights): BatchLosses {
    checkBatch(batch, this.program, this.limits);
    if (this.program.teacher !== undefined && batch.teacher !== undefined) {
      this.#of(this.program.teacher, batch).set(batch.teacher);
    }
    for (const op of ops) this.#apply(op, batch, weights);
    const total = (buffers: readonly Buffer[], rows: number) =>
      buffers.reduce(
        (sum, buffer) =>
          this.#of(buffer, batch)
            .subarray(0, rows)
            .reduce((a, b) => a + b, sum),
        0,
      );
    const [target, ...teacher] = this.program.losses;
    const ranBackward = ops.length > this.program.forwardOps;
    return {
      target: total([target], batch.outputs.length),
      teacher: total(teacher, batch.outputs.length),
      l1: ranBackward ? total(this.program.l1Sums, batch.tokens.length) : 0,
    };
  }

  #apply(op: TrainingOp, batch: TrainingBatch, weights: LossWeights): void {
    const of = (buffer: Buffer) => this.#of(buffer, batch);
    const rows = (buffer: Buffer) => rowCount(buffer, batch);
    const size = (buffer: Buffer) => rows(buffer) * buffer.width;
    const value = (weight: Weight) => this.#weight(weight, "weights");
    const slope = (weight: Weight) => this.#weight(weight, "gradients");
    const { bounds, outputs, targets, tokens } = batch;
    switch (op.kind) {
      case "embed":
        embed(of(op.out), value(op.table), tokens, op.out.width, op.factor);
        break;
      case "rmsNorm":
        rmsNorm(of(op.out), of(op.x), value(op.weight), rows(op.x), op.x.width, op.groups, op.epsilon);
        break;
      case "linear": {
        const bias = op.bias === undefined ? undefined : value(op.bias);
        const all = { first: 0, end: op.weight.rows };
        const { columns, rows: n } = op.weight;
        linear(of(op.out), of(op.x), value(op.weight), bias, rows(op.x), columns, n, all);
        break;
      }
      case "glu":
        glu(of(op.out), of(op.gate), of(op.up), size(op.out), op.activation);
        break;
      case "add":
        add(of(op.out), of(op.a), of(op.b), size(op.out), op.factor);
        break;
      case "scale":
        scale(of(op.out), of(op.x), size(op.out), op.factor);
        break;
      case "selectOutputs":
        selectOutputs(of(op.out), of(op.x), outputs, op.out.width);
        break;
      case "rotate":
        this.#rotate(op, batch);
        break;
      case "sequenceAttention": {
        const inputs = { query: of(op.query), key: of(op.key), value: of(op.value) };
        sequenceAttention(of(op.out), of(op.logSumExp), inputs, bounds, op.facts);
        break;
      }
      case "crossEntropy":
        crossEntropy(of(op.gradient), of(op.losses), of(op.logits), targets, op.logits.width, weights.target);
        break;
      case "distillation": {
        const [gradient, losses, logits, teacher] = [op.gradient, op.losses, op.logits, op.teacher].map(of);
        const { width } = op.logits;
        const count = outputs.length;
        distillation(gradient, losses, logits, teacher, count, width, op.temperature, weights.teacher);
        break;
      }
      case "l1Gradient":
        l1Gradient(of(op.gradient), of(op.sums), of(op.x), rows(op.x), op.x.width, weights.l1);
        break;
      case "linearInputGradient": {
        const { columns, rows: n } = op.weight;
        const [out, dy] = [of(op.out), of(op.gradient)];
        linearInputGradient(out, dy, value(op.weight), rows(op.out), columns, n, op.accumulate);
        break;
      }
      case "linearWeightGradient": {
        const { columns, rows: n } = op.weight;
        linearWeightGradient(slope(op.weight), of(op.gradient), of(op.x), rows(op.x), columns, n);
        break;
      }
      case "biasGradient":
        biasGradient(slope(op.bias), of(op.gradient), rows(op.gradient), op.gradient.width);
        break;
      case "rmsNormInputGradient": {
        const { width } = op.x;
        const shape = { rows: rows(op.x), width, groups: op.groups, epsilon: op.epsilon };
        const [dx, dy, x] = [op.out, op.gradient, op.x].map(of);
        rmsNormInputGradient(dx, dy, x, value(op.weight), shape, op.accumulate);
        break;
      }
      case "rmsNormWeightGradient": {
        const { width } = op.x;
        const shape = { rows: rows(op.x), width, groups: op.groups, epsilon: op.epsilon };
        rmsNormWeightGradient(slope(op.weight), of(op.gradient), of(op.x), shape);
        break;
      }
      case "attentionGradient": {
        const inputs = { query: of(op.query), key: of(op.key), value: of(op.value) };
        const gradients = {
          query: of(op.queryGradient),
          key: of(op.keyGradient),
          value: of(op.valueGradient),
        };
        const [dy, attended, logSumExp] = [op.gradient, op.attended, op.logSumExp].map(of);
        attentionGradient(gradients, dy, attended, logSumExp, inputs, bounds, op.facts);
        break;
      }
      case "gluGradient": {
        const [dGate, dUp, dy] = [op.gateGradient, op.upGradient, op.gradient].map(of);
        gluGradient(dGate, dUp, dy, of(op.gate), of(op.up), size(op.gate), op.activation);
        break;
      }
      case "embedGradient":
        embedGradient(slope(op.table), of(op.gradient), tokens, op.table.columns, op.factor);
        break;
      case "scatterOutputs":
        scatterOutputs(of(op.out), of(op.gradient), outputs, tokens.length, op.out.width);
        break;
    }
  }

  #rotate(op: RotateOp, batch: TrainingBatch): void {
    const out = this.#of(op.out, batch);
    out.set(this.#of(op.x, batch).subarray(0, out.length));
    const positions = op.inverse ? batch.positions.map((position) => -position) : batch.positions;
    rope(out, positions, op.heads, op.headWidth, op.table);
  }

  #of(buffer: Buffer, batch: TrainingBatch): Float64Array {
    const length = rowCount(buffer, batch) * buffer.width;
    let values = this.#buffers.get(buffer.name);
    if (values === undefined || values.length < length) {
      values = new Float64Array(length);
      this.#buffers.set(buffer.name, values);
    }
    return values.subarray(0, length);
  }

  #weight({ tensor, firstRow, rows, columns }: Weight, part: ParameterPart): Float64Array {
    return this.#parts(tensor)[part].subarray(firstRow * columns, (firstRow + rows) * columns);
  }

  #trainable(): Parts[] {
    return this.program.parameters
      .filter(({ trainable }) => trainable)
      .map(({ tensor }) => this.#parts(tensor));
  }

  #parts(tensor: string): Parts {
    const parts = this.#parameters.get(tensor);
    if (parts === undefined) throw new Error(`reference training: no parameter ${tensor}`);
    return parts;
  }
}

function rowCount(buffer: Buffer, batch: TrainingBatch): number {
  return buffer.rows === "tokens" ? batch.tokens.length : batch.outputs.length;
}
