/**
 * Quality, bytes and speed of quantization schemes on one model and text, all in one harness: the
 * same calibration, the same windows, the same machine. Emulated schemes run on the reference
 * executor and have no speed.
 * Invariant: a row's quality and its speed come from the same executor over the same weights.
 */
import type { Executor, ExecutorOptions } from "../executors/executor.ts";
import { createReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../formats/overlay-file.ts";
import { compressTender } from "../methods/tender/compress.ts";
import type { Calibration, ObservedInput } from "../methods/tender/calibration.ts";
import { type Prepared, prepareTender, type PrepareOptions } from "../methods/tender/prepare.ts";
import { readWeightRows } from "../models/decoded-rows.ts";
import type { Platform } from "../platform/types.ts";
import { countCost, weightKind } from "../program/accounting.ts";
import type { Op, Program, Weight } from "../program/program.ts";
import { f32 } from "../quantization/f32.ts";
import { Model } from "../session/model.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { EmulatedInput } from "./baseline-quantizers.ts";
import { runBenchmark } from "./benchmark.ts";
import { measurePerplexity, type PerplexityProtocol, type PerplexityReport } from "./perplexity.ts";
import type { EmulatedScheme, Scheme, TenderScheme } from "./quantization-schemes.ts";

export interface QuantizationOptions {
  readonly schemes: readonly Scheme[];
  readonly protocol: PerplexityProtocol;
  /** Window length of the protocol, and context of the executors. */
  readonly context: number;
  readonly chunkRows: number;
  /** Bits of static and per-token schemes reach the head as 8; false leaves it in the model's own format. */
  readonly head: boolean;
  /** Tokens of the speed tests; undefined measures quality alone. */
  readonly speed:
    | { readonly promptTokens: number; readonly generatedTokens: number; readonly repetitions: number }
    | undefined;
  /** Count clipped codes too: runs static schemes once more on the reference executor, which is slow. */
  readonly clipping: boolean;
  readonly prepare: Omit<PrepareOptions, "chunkRows">;
  readonly signal?: AbortSignal | undefined;
  readonly onScheme?: (name: string, index: number, count: number) => void;
}

export interface QuantizationRow {
  readonly scheme: string;
  readonly runs: "engine" | "emulated";
  readonly weightBits: number;
  readonly activationBits: number;
  readonly perplexity: number;
  readonly meanNll: number;
  /** Bytes of the weights in memory. */
  readonly weightBytes: number;
  /** Bytes read per decoded token at the window's end. */
  readonly bytesPerToken: number;
  readonly prefillTokensPerSecond: number | null;
  readonly decodeTokensPerSecond: number | null;
  /** Share of activations that static ranges clipped on the scored text; null where not counted. */
  readonly clippedShare: number | null;
}

interface Bench {
  readonly platform: Platform;
  readonly file: ModelFile;
  readonly tokenizer: Tokenizer;
  readonly text: string;
  readonly options: QuantizationOptions;
  readonly flat: Prepared;
  /** Calibration per row chunk; undefined when the calibration text is shorter than a chunk. */
  readonly chunked: Prepared | undefined;
}

/** One row per scheme. Errors are those of calibration, perplexity and the executors. */
export async function evaluateQuantization(
  platform: Platform,
  file: ModelFile,
  tokenizer: Tokenizer,
  texts: { readonly calibration: string; readonly scored: string },
  options: QuantizationOptions,
): Promise<QuantizationRow[]> {
  const { schemes, prepare } = options;
  const flat = await prepareTender(platform, file, texts.calibration, { ...prepare, chunkRows: undefined });
  const chunked = schemes.some((scheme) => scheme.kind === "tender" && scheme.chunked)
    ? await prepareTender(platform, file, texts.calibration, { ...prepare, chunkRows: options.chunkRows })
    : undefined;
  const bench: Bench = { platform, file, tokenizer, text: texts.scored, options, flat, chunked };
  const rows: QuantizationRow[] = [];
  for (const [index, scheme] of schemes.entries()) {
    options.signal?.throwIfAborted();
    options.onScheme?.(scheme.name, index, schemes.length);
    rows.push(await evaluateScheme(bench, scheme));
  }
  return rows;
}

async function evaluateScheme(bench: Bench, scheme: Scheme): Promise<QuantizationRow> {
  switch (scheme.kind) {
    case "engine": {
      const options = executorOptions(bench, scheme.weightFormat);
      const executor = await createWasmExecutor(bench.platform, bench.flat.program, bench.file, options);
      return measure(bench, scheme, executor, bench.file, undefined);
    }
    case "tender": {
      const { file, program } = await compressFor(bench, scheme);
      const options = executorOptions(bench, "auto");
      const executor = await createWasmExecutor(bench.platform, program, file, options);
      const row = await measure(bench, scheme, executor, file, undefined);
      if (!bench.options.clipping) return row;
      return { ...row, clippedShare: (await countClipped(bench, program, file)) ?? null };
    }
    case "emulated":
      return evaluateEmulated(bench, scheme);
  }
}

async function compressFor(bench: Bench, scheme: TenderScheme) {
  const prepared = scheme.chunked ? bench.chunked : bench.flat;
  if (prepared === undefined) throw new Error("quantization: no chunked calibration");
  return compressTender(bench.file, prepared.program, prepared.inputs, prepared.calibration, {
    ...scheme.options,
    activationBits: scheme.activationBits === 16 ? 16 : scheme.activationBits === 8 ? 8 : 4,
    weightBits: scheme.weightBits === 8 ? 8 : 4,
    chunkRows: scheme.chunked ? bench.options.chunkRows : undefined,
    rounding: "up",
    headBits: bench.options.head ? 8 : undefined,
    calibration: prepared.facts,
    signal: bench.options.signal,
  });
}

function executorOptions(bench: Bench, weightFormat: ExecutorOptions["weightFormat"]): ExecutorOptions {
  const { context, prepare } = bench.options;
  return {
    threads: prepare.threads,
    limits: { contextLength: context, slots: 1, stepTokens: Math.min(512, context) },
    keyValueFormat: "f32",
    weightFormat,
    simd: "auto",
    onProgress: undefined,
  };
}

/** The scheme's model goes when it is disposed of, the file it was made from stays open for the next one. */
function modelOf({ platform, tokenizer }: Bench, executor: Executor, file: ModelFile): Model {
  return new Model({
    file: { ...file, close: () => Promise.resolve() },
    tokenizer,
    executor,
    generationDefaults: {},
    spans: undefined,
    loadMs: 0,
    now: () => platform.now(),
  });
}

function score({ text, options }: Bench, model: Model): Promise<PerplexityReport> {
  const { protocol, context, signal } = options;
  return measurePerplexity(model, text, { protocol, context, ...(signal && { signal }) });
}

/** Share of the scored text's activations that a static quantizer clips; undefined where there is none. */
async function countClipped(bench: Bench, program: Program, file: ModelFile): Promise<number | undefined> {
  const executor = await createReferenceExecutor(program, file, executorOptions(bench, "auto"));
  await using model = modelOf(bench, executor, file);
  await score(bench, model);
  return executor.clippedShare;
}

async function measure(
  bench: Bench,
  scheme: Scheme,
  executor: Executor,
  file: ModelFile,
  bytes: { readonly weightBytes: number; readonly bytesPerToken: number } | undefined,
): Promise<QuantizationRow> {
  const { platform } = bench;
  const { signal, speed } = bench.options;
  await using model = modelOf(bench, executor, file);
  const quality = await score(bench, model);
  const runs = scheme.kind === "emulated" ? "emulated" : "engine";
  const report =
    speed === undefined || runs === "emulated"
      ? undefined
      : await runBenchmark(model, {
          promptTokens: [speed.promptTokens],
          generatedTokens: [speed.generatedTokens],
          depths: [0],
          repetitions: speed.repetitions,
          now: () => platform.now(),
          ...(signal && { signal }),
        });
  const [prefill, decode] = report?.tests ?? [];
  return {
    scheme: scheme.name,
    runs,
    weightBits: scheme.weightBits,
    activationBits: scheme.activationBits,
    perplexity: quality.perplexity,
    meanNll: quality.meanNll,
    weightBytes: bytes?.weightBytes ?? executor.weightBytes,
    bytesPerToken: bytes?.bytesPerToken ?? executor.readBytes(quality.context).total,
    prefillTokensPerSecond: prefill?.tokensPerSecond.median ?? null,
    decodeTokensPerSecond: decode?.tokensPerSecond.median ?? null,
    clippedShare: null,
  };
}

async function evaluateEmulated(bench: Bench, scheme: EmulatedScheme): Promise<QuantizationRow> {
  const { file, flat, options } = bench;
  const chosen = flat.inputs.filter(({ name }) => options.head || weightKind(name) !== "head");
  const emulations = new Map<string, EmulatedInput>();
  const tensors: ComputedTensor[] = [];
  for (const input of chosen) {
    const emulation = scheme.baseline(await inputFacts(file, input, flat.calibration, scheme));
    for (const { weight } of input.linears) {
      emulations.set(weight.name, emulation);
      tensors.push(emulatedTensor(file, weight, emulation));
    }
  }
  const program = redirect(flat.program, emulations);
  const overlay = overlayFile(file, tensors, undefined);
  const executor = await createReferenceExecutor(program, overlay, executorOptions(bench, "auto"));
  executor.substituteInputs(new Map([...emulations].map(([name, { activations }]) => [name, activations])));
  return measure(bench, scheme, executor, overlay, countBytes(program, emulations, options.context));
}

async function inputFacts(
  file: ModelFile,
  input: ObservedInput,
  calibration: Calibration,
  scheme: EmulatedScheme,
) {
  const statistics = calibration.get(input.name);
  if (statistics === undefined) throw new Error(`quantization: ${input.name} was not calibrated`);
  const columnMaxima = new Float64Array(input.copy.width);
  for (const { weight } of input.linears) {
    const values = await readWeightRows(file, weight, 0, weight.rows);
    values.forEach((value, i) => {
      const j = i % columnMaxima.length;
      columnMaxima[j] = Math.max(columnMaxima[j], Math.abs(value));
    });
  }
  // The head keeps 8 bits in every scheme, as it does in Tender's.
  const least = weightKind(input.name) === "head" ? 8 : 0;
  const weights = Math.max(least, Math.floor(scheme.weightBits));
  const bits = { weights, activations: Math.max(least, scheme.activationBits) };
  return { range: statistics[0].range, columnMaxima, bits };
}

function emulatedTensor(file: ModelFile, weight: Weight, emulation: EmulatedInput): ComputedTensor {
  const { rows, columns } = weight;
  return {
    name: emulatedName(weight),
    shape: [rows, columns],
    format: f32,
    async values(firstRow, rowCount) {
      const values = await readWeightRows(file, weight, firstRow, rowCount);
      for (let row = 0; row < rowCount; row++) {
        values.set(emulation.weightRow(values.slice(row * columns, (row + 1) * columns)), row * columns);
      }
      return values;
    },
  };
}

function emulatedName({ name }: Weight): string {
  return `emulated ${name}`;
}

function redirect(program: Program, emulations: ReadonlyMap<string, EmulatedInput>): Program {
  const ops = program.ops.map((op): Op => {
    if (op.kind !== "linear" || !emulations.has(op.weight.name)) return op;
    return { ...op, weight: { ...op.weight, tensor: emulatedName(op.weight), firstRow: 0 } };
  });
  return { ...program, ops };
}

/** What the scheme would store and read, had it kernels; everything it leaves alone counts as f32. */
function countBytes(program: Program, emulations: ReadonlyMap<string, EmulatedInput>, attended: number) {
  const weightBytes = ({ name, rows, columns }: Weight) => {
    const emulation = emulations.get(name);
    return emulation === undefined ? 4 * rows * columns : (rows * emulation.rowBits) / 8;
  };
  const seen = new Set<string>();
  let total = 0;
  for (const op of program.ops) {
    for (const weight of op.kind === "linear" ? [op.weight] : op.kind === "embed" ? [op.table] : []) {
      if (!seen.has(weight.name)) total += weightBytes(weight);
      seen.add(weight.name);
    }
  }
  const { reads } = countCost(program, { weightBytes, keyValueFormat: "f32", attended });
  return { weightBytes: Math.round(total), bytesPerToken: Math.round(reads.total) };
}
