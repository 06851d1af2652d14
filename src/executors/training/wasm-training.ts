/**
 * The fast trainer: training tapes on the threads and the barrier of the wasm executor. Parameters live in
 * the shared memory from start to end; JavaScript writes a micro-batch, starts a tape and reads losses.
 * Invariant: every sum has a fixed order, so results are bit-equal for any number of threads.
 */
import { OptionError, ResourceError } from "../../errors.ts";
import * as layout from "../../kernels/layout.ts";
import * as training from "../../kernels/training-layout.ts";
import type { SimdBuild } from "../../platform/simd-variants.ts";
import type { Platform } from "../../platform/types.ts";
import { programRotaryTables } from "../../program/dataflow.ts";
import type { Buffer } from "../../program/program.ts";
import type { TrainingProgram } from "../../program/training-ops.ts";
import { EngineClient } from "../wasm/engine-client.ts";
import { compileKernels } from "../wasm/kernel-module.ts";
import { checkThreads } from "../step-checks.ts";
import { writeAngles } from "../wasm/rotary.ts";
import { allocateMemory, placeTapes } from "../wasm/shared-memory.ts";
import { maskBytes, writeMasks } from "./attention-masks.ts";
import {
  type AdamWSettings,
  type BatchLosses,
  checkBatch,
  type LossWeights,
  NO_GRADIENT,
  type ParameterPart,
  type TrainingBatch,
  type TrainingExecutor,
  type TrainingLimits,
} from "./training-executor.ts";
import { planTrainingMemory, type TrainingMemory } from "./training-memory.ts";
import { buildTrainingTapes, type TrainingTape } from "./training-tape.ts";

export interface WasmTrainingOptions {
  readonly threads: number;
  readonly limits: TrainingLimits;
  readonly simd: SimdBuild;
}

/**
 * All parameters are zero until they are written. Throws ResourceError,
 * OptionError and UnsupportedError (SIMD).
 */
export async function createWasmTraining(
  platform: Platform,
  program: TrainingProgram,
  options: WasmTrainingOptions,
): Promise<WasmTraining> {
  const { threads, limits, simd } = options;
  checkThreads(threads);
  const plan = planTrainingMemory(program, limits, threads);
  const { module } = await compileKernels(platform, simd);
  const memory = allocateMemory(
    plan.pages,
    "training",
    "use fewer tokens per micro-batch or recompute activations",
  );
  const control = new Int32Array(memory.buffer, plan.control, layout.CONTROL_BYTES / 4);
  control[layout.CONTROL_THREADS / 4] = threads;
  const engine = await EngineClient.start(platform, { module, memory, control: plan.control }, threads);
  try {
    return new WasmTraining({ program, limits, plan, memory, engine });
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

interface Parts {
  readonly program: TrainingProgram;
  readonly limits: TrainingLimits;
  readonly plan: TrainingMemory;
  readonly memory: WebAssembly.Memory;
  readonly engine: EngineClient;
}

export class WasmTraining implements TrainingExecutor {
  readonly program: TrainingProgram;
  readonly limits: TrainingLimits;
  readonly #plan: TrainingMemory;
  readonly #memory: WebAssembly.Memory;
  readonly #engine: EngineClient;
  readonly #control: Int32Array;
  readonly #scalars: Float32Array;
  readonly #tapes: Readonly<Record<TrainingTape, number>>;
  #disposed = false;

  constructor({ program, limits, plan, memory, engine }: Parts) {
    this.program = program;
    this.limits = limits;
    this.#plan = plan;
    this.#memory = memory;
    this.#engine = engine;
    this.#control = this.#integers(plan.control, layout.CONTROL_BYTES / 4);
    this.#scalars = this.#floats(plan.scalars, training.SCALAR_COUNT);
    this.#tapes = placeTapes(memory, plan, buildTrainingTapes(program, plan));
    this.#writeAngles();
    this.#set(layout.CONTROL_TOKEN_IDS, plan.tokens);
    this.#set(layout.CONTROL_POSITIONS, plan.positions);
    this.#set(layout.CONTROL_OUTPUT_ROWS, plan.outputs);
  }

  get activationBytes(): number {
    return this.#plan.activationBytes;
  }

  evaluate(batch: TrainingBatch): Promise<BatchLosses> {
    return this.#step("losses", batch, NO_GRADIENT);
  }

  accumulate(batch: TrainingBatch, weights: LossWeights): Promise<BatchLosses> {
    return this.#step("gradients", batch, weights);
  }

  async gradientNorm(): Promise<number> {
    await this.#run("norm");
    const { gradients, squareSums } = this.#plan;
    const sums = this.#floats(squareSums, Math.ceil(gradients.bytes / 4 / training.NORM_CHUNK));
    return Math.sqrt(sums.reduce((sum, value) => sum + value, 0));
  }

  async update(settings: AdamWSettings): Promise<void> {
    const { beta1, beta2, step } = settings;
    this.#scalars[training.SCALAR_LEARNING_RATE] = settings.learningRate;
    this.#scalars[training.SCALAR_BETA1] = beta1;
    this.#scalars[training.SCALAR_BETA2] = beta2;
    this.#scalars[training.SCALAR_EPSILON] = settings.epsilon;
    this.#scalars[training.SCALAR_WEIGHT_DECAY] = settings.weightDecay;
    this.#scalars[training.SCALAR_FIRST_CORRECTION] = 1 / (1 - beta1 ** step);
    this.#scalars[training.SCALAR_SECOND_CORRECTION] = 1 / (1 - beta2 ** step);
    this.#scalars[training.SCALAR_GRADIENT_SCALE] = settings.gradientScale;
    await this.#run("update");
  }

  read(tensor: string, part: ParameterPart): Float32Array {
    return this.#parameter(tensor, part).slice();
  }

  write(tensor: string, part: ParameterPart, values: Float32Array): void {
    const target = this.#parameter(tensor, part);
    if (values.length !== target.length) {
      throw new OptionError(
        `parameter ${tensor}: expected ${target.length} values, got ${values.length} - pass the whole tensor`,
      );
    }
    target.set(values);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#engine.stop();
  }

  async #step(
    tape: "losses" | "gradients",
    batch: TrainingBatch,
    weights: LossWeights,
  ): Promise<BatchLosses> {
    checkBatch(batch, this.program, this.limits);
    const { tokens, positions, outputs, targets, bounds } = this.#plan;
    const place = (address: number, values: Int32Array) => this.#integers(address, values.length).set(values);
    place(tokens, batch.tokens);
    place(positions, batch.positions);
    place(outputs, batch.outputs);
    place(targets, batch.targets);
    place(bounds, batch.bounds);
    this.#placeMasks(batch);
    this.#set(layout.CONTROL_TOKENS, batch.tokens.length);
    this.#set(layout.CONTROL_OUTPUTS, batch.outputs.length);
    this.#integers(this.#plan.scalars, 1)[training.SCALAR_SEQUENCES] = batch.bounds.length - 1;
    this.#scalars[training.SCALAR_TARGET_WEIGHT] = weights.target;
    this.#scalars[training.SCALAR_TEACHER_WEIGHT] = weights.teacher;
    this.#scalars[training.SCALAR_L1_WEIGHT] = weights.l1;
    this.#placeTeacher(batch);
    await this.#run(tape);
    const [target, ...teacher] = this.program.losses;
    const rows = batch.outputs.length;
    return {
      target: this.#columnSum(target, rows),
      teacher: teacher.reduce((sum, buffer) => sum + this.#columnSum(buffer, rows), 0),
      l1:
        tape === "losses"
          ? 0
          : this.program.l1Sums.reduce((sum, x) => sum + this.#columnSum(x, batch.tokens.length), 0),
    };
  }

  #placeMasks(batch: TrainingBatch): void {
    const { maskPlaces, masks } = this.#plan;
    const { rows, sequenceLength } = this.limits;
    const bytes = new Uint8Array(this.#memory.buffer, masks, maskBytes(rows, sequenceLength));
    writeMasks(batch, this.#integers(maskPlaces, batch.bounds.length - 1), bytes, masks);
  }

  #placeTeacher({ teacher }: TrainingBatch): void {
    if (teacher === undefined || this.program.teacher === undefined) return;
    const { address, stride } = this.#buffer(this.program.teacher);
    const { width } = this.program.teacher;
    for (let row = 0; row * width < teacher.length; row++) {
      this.#floats(address + row * stride, width).set(teacher.subarray(row * width, (row + 1) * width));
    }
  }

  /** Sum over rows of a buffer of one column, in f64 and in order. */
  #columnSum(buffer: Buffer, rows: number): number {
    const { address, stride } = this.#buffer(buffer);
    const values = this.#floats(address, (rows * stride) / 4);
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += values[(row * stride) / 4];
    return sum;
  }

  async #run(tape: TrainingTape): Promise<void> {
    if (this.#disposed) throw new ResourceError("wasm training: used after dispose - make another executor");
    this.#set(layout.CONTROL_TAPE, this.#tapes[tape]);
    await this.#engine.request({ kind: "step" });
  }

  #writeAngles(): void {
    const { sequenceLength } = this.limits;
    const forward = Int32Array.from({ length: sequenceLength }, (_, position) => position);
    const inverse = forward.map((position) => -position);
    for (const table of programRotaryTables(this.program)) {
      const angles = this.#plan.angles.get(table.name);
      if (angles === undefined) throw new Error(`wasm training: no angles for ${table.name}`);
      const length = 2 * table.inverseFrequencies.length * sequenceLength;
      writeAngles(table, forward, this.#floats(angles.forward, length));
      writeAngles(table, inverse, this.#floats(angles.inverse, length));
    }
  }

  #parameter(tensor: string, part: ParameterPart): Float32Array {
    const placed = this.#plan.parameters.get(tensor);
    const address = placed?.[part];
    if (placed === undefined || address === undefined)
      throw new Error(`wasm training: no ${part} of ${tensor}`);
    return this.#floats(address, placed.size);
  }

  #buffer(buffer: Buffer): { address: number; stride: number } {
    const placed = this.#plan.buffers.get(buffer.name);
    if (placed === undefined) throw new Error(`wasm training: buffer ${buffer.name} has no place`);
    return placed;
  }

  #floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }

  #integers(address: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, length);
  }

  #set(offset: number, value: number): void {
    this.#control[offset / 4] = value;
  }
}
