/**
 * The token sequences that calibration runs: pieces of running text, or worked examples (prompt and answer), of which each
 * is a segment. A model that states its attention spans sees the examples as it will when it runs: with control tokens,
 * and through the masks that their statements imply.
 * Invariant: every segment is evaluated from an empty context.
 */
import { OptionError } from "../errors.ts";
import type { Executor, Step } from "../executors/executor.ts";
import { createWasmExecutor, type WasmExecutor } from "../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import type { Platform } from "../platform/types.ts";
import type { Interval } from "../program/intervals.ts";
import type { Program } from "../program/program.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { CorpusEncoder } from "../training/corpus-encoder.ts";
import { encodeExamples, parseExamples } from "../training/example-batches.ts";
import { SpanExampleEncoder } from "../training/span-examples.ts";
import { readRecipes } from "./recipes.ts";

/** Tokens per segment of running text, where nobody says otherwise. */
export const SEGMENT_TOKENS = 256;

export interface Segment {
  readonly tokens: readonly number[];
  /** What each row sees; undefined, for a row or all, is everything before it. */
  readonly visible?: readonly (readonly Interval[] | undefined)[] | undefined;
}

export interface SegmentOptions {
  /** Most tokens of a segment. */
  readonly segmentTokens: number;
  /** Positions that statistics are kept for together; undefined for all. A segment fills at least one such chunk. */
  readonly chunkRows?: number | undefined;
  readonly maxSegments: number;
  /** The text is JSON lines of prompt and answer, a segment each, instead of running text. */
  readonly examples?: boolean | undefined;
}

/** Segments of a text. OptionError or FormatError for one that cannot calibrate. */
export function readSegments(file: ModelFile, text: string, options: SegmentOptions): Promise<Segment[]> {
  return options.examples === true ? segmentExamples(file, text, options) : segmentText(file, text, options);
}

async function segmentText(file: ModelFile, text: string, options: SegmentOptions): Promise<Segment[]> {
  const tokenizer = await loadTokenizer(file);
  const tokens = tokenizer.encode(text, { addSpecial: false, parseSpecial: false });
  return cutSegments(tokens, { ...options, bosId: tokenizer.bosId });
}

async function segmentExamples(
  file: ModelFile,
  text: string,
  { segmentTokens, chunkRows, maxSegments }: SegmentOptions,
): Promise<Segment[]> {
  const tokenizer = await loadTokenizer(file);
  const encoder = await CorpusEncoder.create(tokenizer, file);
  const recipe = readRecipes(file).find(({ method }) => method === "attention-span");
  const spans =
    recipe?.method === "attention-span"
      ? new SpanExampleEncoder(tokenizer, encoder, recipe, true)
      : undefined;
  const name = "calibration examples";
  const examples = parseExamples(name, text).slice(0, maxSegments);
  const { sequences } = encodeExamples(name, examples, tokenizer, encoder, segmentTokens, spans);
  const segments = sequences.map(({ tokens, visible }) => ({
    tokens: [...tokens.subarray(0, -1)],
    visible: visible?.(),
  }));
  const longest = Math.max(...segments.map(({ tokens }) => tokens.length));
  if (chunkRows !== undefined && longest < chunkRows) {
    throw new OptionError(
      `${name}: the longest has ${longest} tokens, expected at least one chunk of ${chunkRows} - use smaller chunks (--chunk-rows)`,
    );
  }
  return segments;
}

/** The step of rows [first, end) of a segment in slot 0, without outputs. */
export function segmentStep({ tokens, visible }: Segment, first: number, end: number): Step {
  const piece = Int32Array.from(tokens.slice(first, end));
  return {
    tokens: piece,
    positions: piece.map((_, row) => first + row),
    slots: new Int32Array(piece.length),
    outputs: new Int32Array(),
    ...(visible && { visible: visible.slice(first, end) }),
  };
}

export interface SegmentRun {
  readonly segments: readonly Segment[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneTokens: number, totalTokens: number) => void) | undefined;
}

/** What is the same for every step of a run. */
export type StepKind = Pick<Step, "prompt"> & { readonly allOutputs?: boolean };

/** An executor for the segments, with copies of activations that outlive a step of `stepTokens` tokens. */
export function createSegmentExecutor(
  platform: Platform,
  program: Program,
  file: ModelFile,
  { segments, threads, stepTokens }: Pick<SegmentRun, "segments"> & { threads: number; stepTokens: number },
): Promise<WasmExecutor> {
  const longest = Math.max(...segments.map(({ tokens }) => tokens.length));
  return createWasmExecutor(platform, program, file, {
    threads,
    limits: { contextLength: longest, slots: 1, stepTokens: Math.min(stepTokens, longest) },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
}

/** Runs all segments; `visit` sees the executor's buffers after every step, of rows [first, first + rows) of a segment. */
export async function runSegments(
  executor: Executor,
  { segments, signal, onProgress }: SegmentRun,
  { allOutputs, ...kind }: StepKind,
  visit: (rows: number, first: number, segment: Segment) => void,
): Promise<void> {
  const { stepTokens } = executor.limits;
  const total = segments.reduce((sum, { tokens }) => sum + tokens.length, 0);
  let done = 0;
  for (const segment of segments) {
    for (let first = 0; first < segment.tokens.length; first += stepTokens) {
      const step = segmentStep(segment, first, Math.min(first + stepTokens, segment.tokens.length));
      const rows = step.tokens.length;
      const outputs = allOutputs === true ? Int32Array.from(step.tokens.keys()) : step.outputs;
      await executor.step({ ...step, ...kind, outputs }, signal);
      visit(rows, first, segment);
      done += rows;
      onProgress?.(done, total);
    }
  }
}

/**
 * Cuts calibration tokens into segments. OptionError for text that cannot calibrate anything: empty, all one token,
 * shorter than a chunk.
 */
export function cutSegments(
  tokens: readonly number[],
  options: SegmentOptions & { readonly bosId: number | undefined },
): Segment[] {
  const { segmentTokens, chunkRows, maxSegments, bosId } = options;
  const body = bosId !== undefined && tokens[0] === bosId ? tokens.slice(1) : tokens;
  if (body.length === 0)
    throw new OptionError("calibration text: is empty, expected text like the model will see");
  if (new Set(body).size === 1) {
    throw new OptionError(
      `calibration text: consists of one token repeated ${body.length} times, expected text like the model will see`,
    );
  }
  const least = chunkRows ?? MIN_FLAT_TOKENS;
  const lead = bosId === undefined ? [] : [bosId];
  if (Math.max(least, 1 + lead.length) > segmentTokens) {
    throw new OptionError(
      `calibration: chunks of ${least} rows do not fit segments of ${segmentTokens} tokens - use smaller chunks (--chunk-rows) or longer segments`,
    );
  }
  if (body.length < least - (bosId === undefined ? 0 : 1)) {
    throw new OptionError(
      `calibration text: has ${body.length} tokens, expected at least ${least}, ${chunkRows === undefined ? "the least that shows channel ranges" : "one chunk of rows"} - use a longer text`,
    );
  }
  const bodyLength = segmentTokens - lead.length;
  const segments: Segment[] = [];
  for (let first = 0; first < body.length && segments.length < maxSegments; first += bodyLength) {
    const piece = [...lead, ...body.slice(first, first + bodyLength)];
    // The rest of a text is no fair sample of a chunk unless it fills one.
    if (segments.length === 0 || piece.length >= least) segments.push({ tokens: piece });
  }
  return segments;
}

const MIN_FLAT_TOKENS = 32;
