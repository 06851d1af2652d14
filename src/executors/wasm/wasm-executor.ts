/**
 * The fast CPU executor: AssemblyScript kernels with SIMD, threads over one shared memory, a compiled tape
 * per step (kernels/tape/tape.as.ts). This side plans memory, writes each step's tokens into it and reads
 * logits out of it; a worker runs the tape, so the caller's event loop stays free.
 */
import { NumericError, ResourceError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import * as layout from "../../kernels/layout.ts";
import type { CacheCounts } from "../../methods/dynamic-input-pruning/cached-columns.ts";
import type { SimdVariant } from "../../platform/simd-variants.ts";
import type { Platform } from "../../platform/types.ts";
import { knownTokens, programRotaryTables } from "../../program/dataflow.ts";
import { countCost, type Phase, type ReadBytes } from "../../program/accounting.ts";
import type { KeyValueFormat } from "../../program/key-value-format.ts";
import type { Buffer, Program, RotaryTable, Weight } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import type { ColumnReaders, FetchCounts } from "../column-store.ts";
import type { Executor, ExecutorLimits, ExecutorOptions, Step } from "../executor.ts";
import {
  checkColumnCache,
  checkKeyValueFormat,
  checkLimits,
  checkOneSequence,
  checkStep,
  checkThreads,
} from "../step-checks.ts";
import { ChoiceCaches } from "./choice-plan.ts";
import { readColumnOrders } from "./column-order.ts";
import { columnReadBytes } from "./column-layout.ts";
import { EngineClient } from "./engine-client.ts";
import { compileKernels } from "./kernel-module.ts";
import { type MemoryPlan, planMemory } from "./memory-plan.ts";
import { writeAngles } from "./rotary.ts";
import { buildReadTape, buildTape } from "./tape-builder.ts";
import type { TapeMode } from "./tape-writer.ts";
import { loadWeights } from "./weight-loader.ts";
import { allocateMemory, placeTapes } from "./shared-memory.ts";

/** Passes over memory that a bandwidth measurement takes the best of. */
const BANDWIDTH_PASSES = 7;
/** Memory that is read per pass, more than any cache holds. */
const BANDWIDTH_BYTES = 256 << 20;

/**
 * Loads the weights of `program` from `file` (which stays open and is the caller's to close) and starts the
 * threads. Throws FormatError, ResourceError (memory, workers), UnsupportedError (SIMD) and OptionError.
 */
export async function createWasmExecutor(
  platform: Platform,
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
): Promise<WasmExecutor> {
  checkLimits(options.limits);
  checkThreads(options.threads);
  validateProgram(program);
  checkColumnCache(program, options);
  checkKeyValueFormat(program, options);
  const { columnStore } = options;
  if (columnStore !== undefined) {
    checkOneSequence(columnStore.gamma, options.limits);
    await columnStore.checkModel(file);
  }
  const plan = planMemory(program, file, options, await readColumnOrders(program, file));
  const { module, variant } = await compileKernels(platform, options.simd);
  const memory = allocateMemory(plan.pages, "memory", "use a smaller model, context or weight format");
  const control = new Int32Array(memory.buffer, plan.control, layout.CONTROL_BYTES / 4);
  control[layout.CONTROL_THREADS / 4] = options.threads;
  const engine = await EngineClient.start(
    platform,
    { module, memory, control: plan.control },
    options.threads,
  );
  let readers: ColumnReaders | undefined;
  try {
    await loadWeights(file, plan, memory, engine, options);
    if (plan.fetches !== undefined) readers = await columnStore?.start(platform, memory, plan.fetches);
    return new WasmExecutor({ program, plan, memory, engine, readers, options, variant });
  } catch (error) {
    await Promise.all([engine.stop(), readers?.stop()]);
    throw error;
  }
}

interface Parts {
  readonly program: Program;
  readonly plan: MemoryPlan;
  readonly memory: WebAssembly.Memory;
  readonly engine: EngineClient;
  readonly readers: ColumnReaders | undefined;
  readonly options: ExecutorOptions;
  readonly variant: SimdVariant;
}

export class WasmExecutor implements Executor {
  readonly name = "wasm";
  readonly program: Program;
  readonly limits: ExecutorLimits;
  readonly threads: number;
  /** Which build of the kernels runs. */
  readonly simd: SimdVariant;
  /** The kernel of each op of the program, for single tokens and for batches. */
  readonly kernels: Readonly<Record<TapeMode, readonly string[]>>;
  readonly #plan: MemoryPlan;
  readonly #engine: EngineClient;
  readonly #readers: ColumnReaders | undefined;
  /** Whether what is cached decides which columns are chosen. */
  readonly #prefersCached: boolean;
  readonly #caches: ChoiceCaches | undefined;
  readonly #memory: WebAssembly.Memory;
  readonly #control: Int32Array;
  readonly #taken: Int32Array;
  readonly #keyValueFormat: KeyValueFormat;
  readonly #tapes: Readonly<Record<TapeMode | "read", number>>;
  readonly #rotary: readonly { table: RotaryTable; angles: Float32Array }[];
  #running = false;
  #disposed = false;

  constructor({ program, plan, memory, engine, readers, options, variant }: Parts) {
    this.program = program;
    this.limits = options.limits;
    this.threads = options.threads;
    this.simd = variant;
    this.#plan = plan;
    this.#engine = engine;
    this.#readers = readers;
    this.#prefersCached = readers !== undefined && options.columnStore?.gamma !== 1;
    this.#memory = memory;
    const { choices } = plan;
    this.#caches = choices === undefined ? undefined : new ChoiceCaches(memory, choices, options.threads);
    this.#keyValueFormat = options.keyValueFormat;
    this.#control = new Int32Array(memory.buffer, plan.control, layout.CONTROL_BYTES / 4);
    this.#taken = new Int32Array(memory.buffer, plan.taken.address, plan.taken.count);
    new Float32Array(memory.buffer, plan.ones.address, plan.ones.count).fill(1);
    const tapes = {
      decode: buildTape(program, plan, options, "decode"),
      batch: buildTape(program, plan, options, "batch"),
    };
    this.kernels = { decode: tapes.decode.kernels, batch: tapes.batch.kernels };
    this.#tapes = placeTapes(memory, plan, {
      decode: tapes.decode.words,
      batch: tapes.batch.words,
      read: buildReadTape(plan.weightsStart, this.#bandwidthBytes()),
    });
    this.#rotary = programRotaryTables(program).map((table) => {
      const length = 2 * table.inverseFrequencies.length * options.limits.stepTokens;
      return { table, angles: new Float32Array(memory.buffer, plan.angles.get(table.name), length) };
    });
    this.#set(layout.CONTROL_TOKEN_IDS, plan.tokens);
    this.#set(layout.CONTROL_POSITIONS, plan.positions);
    this.#set(layout.CONTROL_SLOTS, plan.slots);
    this.#set(layout.CONTROL_OUTPUT_ROWS, plan.outputs);
  }

  get weightBytes(): number {
    return this.#plan.weightBytes;
  }

  get keyValueBytes(): number {
    return this.#plan.keyValueBytes;
  }

  /** Kernel storage of a weight, e.g. `q8`; vectors are `f32`. */
  storageOf(weight: Weight): string {
    const columns = this.#plan.columns.get(weight.name);
    return columns?.layout.name ?? this.#plan.weights.get(weight.name)?.layout?.name ?? "f32";
  }

  async step(step: Step, signal?: AbortSignal): Promise<Float32Array> {
    signal?.throwIfAborted();
    checkStep(step, this.limits, knownTokens(this.program));
    this.#checkIdle();
    const plan = this.#plan;
    if (step.prompt === true || step.positions[0] === 0) this.#beginSequence();
    const count = step.tokens.length;
    new Int32Array(this.#memory.buffer, plan.tokens, count).set(step.tokens);
    new Int32Array(this.#memory.buffer, plan.positions, count).set(step.positions);
    new Int32Array(this.#memory.buffer, plan.slots, count).set(step.slots);
    new Int32Array(this.#memory.buffer, plan.outputs, step.outputs.length).set(step.outputs);
    for (const { table, angles } of this.#rotary) writeAngles(table, step.positions, angles);
    this.#placeSpans(step);
    this.#set(layout.CONTROL_TOKENS, count);
    this.#set(layout.CONTROL_OUTPUTS, step.outputs.length);
    const { stopped } = await this.#run(count === 1 && !this.#runsDense(step) ? "decode" : "batch", signal);
    this.#throwIfReadersFailed();
    if (stopped) {
      // Threads stopped at different places, and with them their caches.
      this.#caches?.clear();
      signal?.throwIfAborted();
    }
    return this.#logits(step.outputs.length);
  }

  /**
   * Where it decides about the text, a cache begins empty with every prompt:
   * the same prompt gives the same text.
   */
  #beginSequence(): void {
    if (this.#prefersCached) this.#readers?.reset();
    this.#caches?.clear();
  }

  #placeSpans({ visible }: Step): void {
    const { spans } = this.#plan;
    this.#set(layout.CONTROL_SPANS, visible === undefined ? 0 : spans);
    visible?.forEach((intervals = [], row) => {
      const length = 1 + 2 * intervals.length;
      const words = new Int32Array(this.#memory.buffer, spans + row * layout.SPAN_ROW_BYTES, length);
      words.set([intervals.length, ...intervals.flatMap(({ start, end }) => [start, end])]);
    });
  }

  /** The first `rows` rows of a buffer [rows, width] as the last step left them, copied. */
  readBuffer(buffer: Buffer, rows: number): Float32Array {
    this.#checkIdle();
    const placed = this.#plan.buffers.get(buffer.name);
    if (placed === undefined) throw new Error(`wasm executor: buffer ${buffer.name} has no place`);
    const stride = placed.stride / 4;
    const all = new Float32Array(this.#memory.buffer, placed.address, rows * stride);
    const values = new Float32Array(rows * buffer.width);
    for (let row = 0; row < rows; row++) {
      values.set(all.subarray(row * stride, row * stride + buffer.width), row * buffer.width);
    }
    return values;
  }

  readBytes(attended: number, phase?: Phase): ReadBytes {
    return countCost(this.program, {
      weightBytes: (weight) => this.#weightBytes(weight),
      keyValueFormat: this.#keyValueFormat,
      attended,
      phase,
    }).reads;
  }

  fetchCounts(): FetchCounts | undefined {
    return this.#readers?.counts();
  }

  cacheCounts(): CacheCounts | undefined {
    return this.#caches?.counts();
  }

  /** Bytes that the kernels have read through selections of columns since the executor was made. */
  columnBytesRead(): number {
    const areas = this.#plan.columnAreas;
    if (areas === undefined) return 0;
    const counters = new BigInt64Array(this.#memory.buffer, areas.counters, 8 * this.threads);
    return counters.reduce((sum, count, index) => (index % 8 === 0 ? sum + Number(count) : sum), 0);
  }

  /**
   * Tables of channel exponents stand for the order of columns too,
   * which is read beside them whatever the chunk.
   */
  #weightBytes({ name }: Weight): number {
    const { columns: byColumns, orders, weights } = this.#plan;
    const columns = byColumns.get(name);
    if (columns !== undefined) return columnReadBytes(columns) * columns.weights[0].columns;
    const order = orders.get(name);
    return (
      (weights.get(name)?.bytes ?? 0) + (order === undefined ? 0 : order.chunks * order.places.byteLength)
    );
  }

  /** Tokens of a prompt use every column, which only the batch tape does. */
  #runsDense(step: Step): boolean {
    return step.prompt === true && this.#plan.columnAreas !== undefined;
  }

  /**
   * Read bandwidth of this executor's threads over its own weights in GB/s (1e9 bytes): the roofline of
   * decoding. Models smaller than the caches measure the caches. The best of several passes.
   */
  async measureBandwidth(): Promise<number> {
    const bytes = this.#bandwidthBytes();
    let best = Number.POSITIVE_INFINITY;
    for (let pass = 0; pass < BANDWIDTH_PASSES; pass++) {
      const { milliseconds } = await this.#run("read", undefined);
      best = Math.min(best, milliseconds);
    }
    return bytes / best / 1e6;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await Promise.all([this.#engine.stop(), this.#readers?.stop()]);
  }

  #throwIfReadersFailed(): void {
    const failure = this.#readers?.failure();
    if (failure !== undefined) throw failure;
  }

  async #run(
    tape: TapeMode | "read",
    signal: AbortSignal | undefined,
  ): Promise<{ stopped: boolean; milliseconds: number }> {
    this.#checkIdle();
    const abort = () => Atomics.store(this.#control, layout.CONTROL_ABORT / 4, 1);
    Atomics.store(this.#control, layout.CONTROL_ABORT / 4, 0);
    this.#set(layout.CONTROL_TAPE, this.#tapes[tape]);
    this.#taken.fill(0);
    this.#running = true;
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.#engine.request({ kind: "step" });
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#running = false;
    }
  }

  #logits(rows: number): Float32Array {
    const { vocabularySize, logits } = this.program;
    const placed = this.#plan.buffers.get(logits.name);
    if (placed === undefined) throw new Error("wasm executor: logits have no place");
    const view = new Float32Array(this.#memory.buffer, placed.address, (rows * placed.stride) / 4);
    const width = placed.stride / 4;
    // Rows lie a whole number of panels apart; close the gaps where the vocabulary is not one.
    for (let row = 1; width !== vocabularySize && row < rows; row++) {
      view.copyWithin(row * vocabularySize, row * width, row * width + vocabularySize);
    }
    const result = view.subarray(0, rows * vocabularySize);
    if (rows > 0 && Number.isNaN(result[result.length - 1])) {
      throw new NumericError(
        `${this.program.name}: the logits are not numbers - the weights are damaged or overflow`,
      );
    }
    return result;
  }

  /** Throws unless a step may begin or its results be read. */
  #checkIdle(): void {
    if (this.#disposed) throw new ResourceError("wasm executor: used after dispose - make another executor");
    if (this.#running) throw new Error("wasm executor: a step is already running");
    this.#throwIfReadersFailed();
  }

  #bandwidthBytes(): number {
    return Math.floor(Math.min(BANDWIDTH_BYTES, this.#plan.weightBytes) / 64) * 64;
  }

  #set(offset: number, value: number): void {
    this.#control[offset / 4] = value;
  }
}
