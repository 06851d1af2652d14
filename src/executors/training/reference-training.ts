/**
 * The reference trainer: interprets a training program op by op with the scalar kernels, all values in
 * f64. Written to be read, to be checked by finite differences and to be the oracle of the wasm
 * kernels; speed is no aim.
 */
import { OptionError } from "../../errors.ts";
import { type AdamWSettings, adamW } from "../../kernels/optimizer/reference.ts";
import type { Buffer, Weight } from "../../program/program.ts";
import type { TrainingOp, TrainingProgram } from "../../program/training-ops.ts";
import { type OpContext, runOp } from "./reference-ops.ts";
import {
  type BatchLosses,
  checkBatch,
  type LossWeights,
  NO_GRADIENT,
  type ParameterPart,
  type TrainingBatch,
  type TrainingExecutor,
  type TrainingLimits,
} from "./training-executor.ts";

type Parts = Record<ParameterPart, Float64Array>;

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
    const target = this.#parts(tensor)[part];
    if (values.length !== target.length) {
      throw new OptionError(`${tensor}: expected ${target.length} values, got ${values.length}`);
    }
    target.set(values);
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
    const context: OpContext = {
      batch,
      weights,
      of: (buffer) => this.#of(buffer, batch),
      rows: (buffer) => rowCount(buffer, batch),
      value: (weight) => this.#weight(weight, "weights"),
      slope: (weight) => this.#weight(weight, "gradients"),
    };
    for (const op of ops) runOp(op, context);
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
