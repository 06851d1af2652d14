/**
 * The reference executor: interprets a program op by op with the scalar kernels, f64 accumulators, f32
 * buffers between ops. Written to be read and to be the oracle of all other executors; speed is no aim.
 * Invariant: a step is checked completely before anything is computed.
 */
import type { ModelFile } from "../../formats/model-file.ts";
import { add } from "../../kernels/add/reference.ts";
import { attention } from "../../kernels/attention/reference.ts";
import { embed } from "../../kernels/embed/reference.ts";
import { activateAll, glu } from "../../kernels/glu/reference.ts";
import { linear, type OutputRange } from "../../kernels/linear/reference.ts";
import { linearColumns } from "../../kernels/linear-columns/reference.ts";
import { linearRows } from "../../kernels/linear-rows/reference.ts";
import { rmsNorm } from "../../kernels/rms-norm/reference.ts";
import { rope } from "../../kernels/rope/reference.ts";
import { scale } from "../../kernels/scale/reference.ts";
import { selectAboveAmong, selectByRule, selectTopAmong } from "../../kernels/select-columns/reference.ts";
import { selectOutputs } from "../../kernels/select-outputs/reference.ts";
import { type CacheArrays, storeKeyValue } from "../../kernels/store-key-value/reference.ts";
import { type AttentionTables, tenderAttention } from "../../kernels/tender-attention/reference.ts";
import {
  quantizeDynamic,
  type QuantizedRows,
  quantizeStatic,
  tenderLinear,
} from "../../kernels/tender-linear/reference.ts";
import { CachedColumns, type CacheCounts } from "../../methods/dynamic-input-pruning/cached-columns.ts";
import { countCost, type Phase, type ReadBytes } from "../../program/accounting.ts";
import type { KeyValueFormat } from "../../program/key-value-format.ts";
import type { LinearColumnsOp, LinearRowsOp, SelectColumnsOp, Selection } from "../../program/column-ops.ts";
import { knownTokens, programCaches } from "../../program/dataflow.ts";
import type {
  AttentionOp,
  Buffer,
  KeyValueCache,
  LinearOp,
  Op,
  Program,
  TenderLinearOp,
} from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import type { Executor, ExecutorLimits, ExecutorOptions, Step } from "../executor.ts";
import { checkColumnCache, checkKeyValueFormat, checkLimits, checkStep } from "../step-checks.ts";
import { allocate, allocateCache } from "./arrays.ts";
import { Pacer } from "./pacer.ts";
import { type LoadedWeights, loadWeights } from "./weights.ts";

/** Multiply-adds between two looks at the abort signal: a few milliseconds of scalar work. */
const PIECE_MULTIPLY_ADDS = 1 << 22;

/**
 * Loads the weights of `program` from `file` (which stays open and is the caller's to close). `threads` and
 * `simd` mean nothing here. `weightFormat` "auto" and "f32" keep exactly what the file decodes to, the others
 * what that storage would keep. Throws FormatError, ResourceError, OptionError.
 */
export async function createReferenceExecutor(
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
): Promise<ReferenceExecutor> {
  checkLimits(options.limits);
  validateProgram(program);
  checkColumnCache(program, options);
  checkKeyValueFormat(program, options);
  return new ReferenceExecutor(program, options, await loadWeights(program, file, options));
}

/**
 * Sees an op right after it has run; `read` gives the current rows of a buffer,
 * to be copied if they are kept.
 */
export type OpObserver = (op: Op, read: (buffer: Buffer) => Float32Array) => void;

/** By weight name: what a linear's input x [rows, width] is replaced with, in an array of its own. */
export type InputSubstitutes = ReadonlyMap<string, (x: Float32Array, rows: number) => Float32Array>;

export class ReferenceExecutor implements Executor {
  readonly name = "reference";
  readonly program: Program;
  readonly limits: ExecutorLimits;
  readonly weightBytes: number;
  readonly keyValueBytes: number;
  readonly #weights: Map<string, Float32Array>;
  readonly #buffers = new Map<string, Float32Array>();
  readonly #caches: Map<string, CacheArrays>;
  readonly #selections = new Map<string, Int32Array | "all">();
  readonly #keyValueFormat: KeyValueFormat;
  readonly #pacer = new Pacer();
  #observer: OpObserver | undefined;
  readonly #cached: CachedColumns | undefined;
  #substitutes: InputSubstitutes | undefined;
  #clippedCodes = 0;
  #staticCodes = 0;
  #state: "idle" | "running" | "disposed" = "idle";

  constructor(program: Program, options: ExecutorOptions, weights: LoadedWeights) {
    this.program = program;
    this.limits = options.limits;
    this.#weights = new Map(weights.values);
    this.weightBytes = weights.bytes;
    this.#cached = options.columnCache === undefined ? undefined : new CachedColumns(options.columnCache);
    this.#keyValueFormat = options.keyValueFormat;
    this.#caches = new Map(
      programCaches(program).map((cache) => [cache.name, allocateCache(cache, options.limits)]),
    );
    this.keyValueBytes = [...this.#caches.values()].reduce(
      (sum, cache) => sum + cache.keys.byteLength + cache.values.byteLength,
      0,
    );
  }

  async step(step: Step, signal?: AbortSignal): Promise<Float32Array> {
    if (this.#state !== "idle") {
      throw new Error(`reference executor: step while ${this.#state}`);
    }
    signal?.throwIfAborted();
    checkStep(step, this.limits, knownTokens(this.program));
    this.#state = "running";
    if (step.prompt === true) this.#cached?.reset();
    try {
      this.#pacer.watch(signal);
      for (const op of this.program.ops) {
        await this.#run(op, step);
        this.#observer?.(op, (buffer) => this.#buffer(buffer, step));
        await this.#pacer.pause();
      }
    } finally {
      if (this.#state === "running") {
        this.#state = "idle";
      }
    }
    const { logits, vocabularySize } = this.program;
    return this.#buffer(logits, step).subarray(0, step.outputs.length * vocabularySize);
  }

  /** Lets `observer` look at every op of the steps that follow: for recording activations. */
  observe(observer: OpObserver | undefined): void {
    this.#observer = observer;
  }

  /** Weights and caches are held as f32, so this counts four bytes per value read. */
  readBytes(attended: number, phase?: Phase): ReadBytes {
    const weightBytes = (weight: { rows: number; columns: number }) => 4 * weight.rows * weight.columns;
    return countCost(this.program, { weightBytes, keyValueFormat: "f32", attended, phase }).reads;
  }

  cacheCounts(): CacheCounts | undefined {
    return this.#cached?.counts;
  }

  /**
   * Share of statically quantized activations so far that were clamped to the largest code;
   * undefined before any.
   */
  get clippedShare(): number | undefined {
    return this.#staticCodes === 0 ? undefined : this.#clippedCodes / this.#staticCodes;
  }

  /**
   * Makes linears multiply something else than their input in the steps that follow:
   * for emulating quantizers.
   */
  substituteInputs(substitutes: InputSubstitutes | undefined): void {
    this.#substitutes = substitutes;
  }

  /** The first `rows` rows of a buffer as the last step left them; the next step overwrites the view. */
  readBuffer(buffer: Buffer, rows: number): Float32Array {
    return found(this.#buffers.get(buffer.name), `buffer ${buffer.name}`).subarray(0, rows * buffer.width);
  }

  async dispose(): Promise<void> {
    this.#state = "disposed";
    this.#weights.clear();
    this.#buffers.clear();
    this.#caches.clear();
  }

  async #run(op: Op, step: Step): Promise<void> {
    const { tokens, positions, slots, outputs } = step;
    const of = (buffer: Buffer) => this.#buffer(buffer, step);
    const rows = (buffer: Buffer) => rowCount(buffer, step);
    const count = (buffer: Buffer) => rows(buffer) * buffer.width;
    switch (op.kind) {
      case "embed":
        return embed(of(op.out), this.#weight(op.table.name), tokens, op.out.width, op.factor);
      case "rmsNorm": {
        const weight = this.#weight(op.weight.name);
        return rmsNorm(of(op.out), of(op.x), weight, rows(op.x), op.x.width, op.groups, op.epsilon);
      }
      case "linear":
        return this.#runLinear(op, step);
      case "tenderLinear":
        return this.#runTenderLinear(op, step);
      case "rope":
        return rope(of(op.x), positions, op.heads, op.headWidth, op.table);
      case "storeKeyValue":
        return storeKeyValue(
          this.#cache(op.cache),
          of(op.key),
          of(op.value),
          slots,
          positions,
          this.#keyValueFormat,
        );
      case "attention":
        return this.#runAttention(op, step);
      case "glu":
        return glu(of(op.out), of(op.gate), of(op.up), count(op.out), op.activation);
      case "activate":
        return activateAll(of(op.out), of(op.x), count(op.out), op.activation);
      case "add":
        return add(of(op.out), of(op.a), of(op.b), count(op.out), op.factor);
      case "scale":
        return scale(of(op.out), of(op.x), count(op.out), op.factor);
      case "selectOutputs":
        return selectOutputs(of(op.out), of(op.x), outputs, op.out.width);
      case "selectColumns":
        this.#selections.set(op.out.name, this.#choose(op, of(op.x), step));
        return;
      case "linearColumns":
        return this.#runLinearColumns(op, step);
      case "linearRows":
        return this.#runLinearRows(op, step);
    }
  }

  async #runLinear(op: LinearOp, step: Step): Promise<void> {
    const { rows: outputs, columns, name } = op.weight;
    const rows = rowCount(op.x, step);
    const [out, given, weight] = [this.#buffer(op.out, step), this.#buffer(op.x, step), this.#weight(name)];
    const x = this.#substitutes?.get(name)?.(given, rows) ?? given;
    const bias = op.bias === undefined ? undefined : this.#weight(op.bias.name);
    await this.#inPieces(outputs, rows * columns, (range) => {
      linear(out, x, weight, bias, rows, columns, outputs, range);
    });
  }

  async #runTenderLinear(op: TenderLinearOp, step: Step): Promise<void> {
    const { rows: outputs, columns } = op.codes;
    const rows = rowCount(op.x, step);
    const x = this.#quantize(op, step, rows);
    const [out, codes, scales] = [
      this.#buffer(op.out, step),
      this.#weight(op.codes.name),
      this.#weight(op.scales.name),
    ];
    const offset = op.offset === undefined ? undefined : this.#weight(op.offset.name);
    await this.#inPieces(outputs, rows * columns, (range) => {
      tenderLinear(out, x, codes, scales, offset, columns, outputs, range);
    });
  }

  /**
   * Computes all outputs, each of which takes `multiplyAdds`, in ranges between which the event loop may run.
   */
  async #inPieces(
    outputs: number,
    multiplyAdds: number,
    compute: (range: OutputRange) => void,
  ): Promise<void> {
    const piece = Math.max(1, Math.floor(PIECE_MULTIPLY_ADDS / Math.max(1, multiplyAdds)));
    for (let first = 0; first < outputs; first += piece) {
      compute({ first, end: Math.min(outputs, first + piece) });
      await this.#pacer.pause();
    }
  }

  /** Prompts and steps of several tokens use every column; see program/column-ops.ts. */
  #choose(op: SelectColumnsOp, x: Float32Array, step: Step): Int32Array | "all" {
    if (step.tokens.length > 1 || step.prompt === true) return "all";
    const { rule, width, among } = op.out;
    const row = x.subarray(0, width);
    if (this.#cached !== undefined) return this.#cached.choose(op, row, step.positions[0]);
    const earlier = among === undefined ? "all" : this.#chosen(among);
    if (earlier === "all" || rule.kind === "gate") return selectByRule(row, rule);
    return rule.kind === "topK"
      ? selectTopAmong(row, rule.count, earlier)
      : selectAboveAmong(row, rule.threshold, earlier);
  }

  /** Where neurons were chosen, their rows; all rows otherwise. */
  async #runLinearRows(op: LinearRowsOp, step: Step): Promise<void> {
    const { x, selection, weight, out } = op;
    const chosen = this.#chosen(selection);
    if (chosen === "all") {
      await this.#runLinear({ kind: "linear", x, weight, bias: undefined, out }, step);
      return;
    }
    const [to, from] = [this.#buffer(out, step), this.#buffer(x, step)];
    linearRows(to, from, chosen, this.#weight(weight.name), weight.columns, weight.rows);
    await this.#pacer.pause();
  }

  /** Where columns were chosen, by the chosen ones; densely otherwise. */
  async #runLinearColumns(op: LinearColumnsOp, step: Step): Promise<void> {
    const { x, selection, parts } = op;
    const chosen = this.#chosen(selection);
    for (const { weight, bias, out } of parts) {
      if (chosen === "all") {
        await this.#runLinear({ kind: "linear", x, weight, bias, out }, step);
        continue;
      }
      const { rows, columns, name } = weight;
      const offset = bias === undefined ? undefined : this.#weight(bias.name);
      const [to, from] = [this.#buffer(out, step), this.#buffer(x, step)];
      linearColumns(to, from, chosen, this.#weight(name), offset, columns, rows);
      await this.#pacer.pause();
    }
  }

  #quantize({ x, quantizer }: TenderLinearOp, step: Step, rows: number): QuantizedRows {
    const values = this.#buffer(x, step);
    if (quantizer.kind === "dynamic") return quantizeDynamic(values, rows, x.width, quantizer.limit);
    const positions = x.rows === "tokens" ? step.positions : step.outputs.map((row) => step.positions[row]);
    const { limit, chunks, chunkRows, bias } = quantizer;
    const quantized = quantizeStatic(values, rows, x.width, positions, {
      limit,
      chunks,
      chunkRows,
      bias: bias === undefined ? undefined : this.#weight(bias.name),
      exponents: this.#weight(quantizer.exponents.name),
      scales: this.#weight(quantizer.scales.name),
    });
    this.#clippedCodes += quantized.clipped;
    this.#staticCodes += quantized.codes.length;
    return quantized;
  }

  async #runAttention(op: AttentionOp, step: Step): Promise<void> {
    const { heads, scale: scoreScale, window } = op;
    const { kvHeads, headWidth } = op.cache;
    const shape = { heads, kvHeads, headWidth, scale: scoreScale, window };
    const cache = this.#cache(op.cache);
    const [out, query] = [this.#buffer(op.out, step), this.#buffer(op.query, step)];
    const tables = this.#attentionTables(op);
    for (let t = 0; t < step.tokens.length; t++) {
      const slotRow = step.slots[t] * cache.contextLength;
      const row = { t, slotRow, position: step.positions[t], visible: step.visible?.[t] };
      if (tables === undefined) attention(out, query, cache, shape, row);
      else tenderAttention(out, query, cache, shape, tables, row);
      await this.#pacer.pause();
    }
  }

  #attentionTables({ codes }: AttentionOp): AttentionTables | undefined {
    if (codes === undefined) return undefined;
    const { limit, scoreGroups } = codes;
    return {
      limit,
      scoreGroups,
      queryBias: this.#weight(codes.queryBias.name),
      queryExponents: this.#weight(codes.queryExponents.name),
      queryScales: this.#weight(codes.queryScales.name),
      keyBias: this.#weight(codes.keyBias.name),
      valueScales: this.#weight(codes.valueScales.name),
    };
  }

  #chosen({ name }: Selection): Int32Array | "all" {
    return found(this.#selections.get(name), `selection ${name}`);
  }

  #weight(name: string): Float32Array {
    return found(this.#weights.get(name), `weight ${name}`);
  }

  #cache(cache: KeyValueCache): CacheArrays {
    return found(this.#caches.get(cache.name), `cache ${cache.name}`);
  }

  /**
   * Memory of a buffer, made or enlarged when a step first needs that many rows; contents live for one step.
   */
  #buffer(buffer: Buffer, step: Step): Float32Array {
    const length = rowCount(buffer, step) * buffer.width;
    const known = this.#buffers.get(buffer.name);
    if (known !== undefined && known.length >= length) {
      return known;
    }
    const made = allocate(length, `buffer ${buffer.name}`);
    this.#buffers.set(buffer.name, made);
    return made;
  }
}

function rowCount(buffer: Buffer, step: Step): number {
  return buffer.rows === "tokens" ? step.tokens.length : step.outputs.length;
}

function found<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) {
    throw new Error(`reference executor: no ${what}`);
  }
  return value;
}
