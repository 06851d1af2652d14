/**
 * The token sequences that calibration runs: pieces of running text, or worked examples (prompt and answer), of which each
 * is a segment. A model that states its attention spans sees the examples as it will when it runs: with control tokens,
 * and through the masks that their statements imply.
 * Invariant: every segment is evaluated from an empty context.
 */
import { OptionError } from "../../errors.ts";
import type { Step } from "../../executors/executor.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Interval } from "../../program/intervals.ts";
import { loadTokenizer } from "../../tokenizer/load-tokenizer.ts";
import { CorpusEncoder } from "../../training/corpus-encoder.ts";
import { encodeExamples, parseExamples } from "../../training/example-batches.ts";
import { SpanExampleEncoder } from "../../training/span-examples.ts";
import { readRecipes } from "../recipes.ts";

export interface Segment {
  readonly tokens: readonly number[];
  /** What each row sees; undefined, for a row or all, is everything before it. */
  readonly visible?: readonly (readonly Interval[] | undefined)[] | undefined;
}

export interface SegmentOptions {
  /** Most tokens of a segment. */
  readonly segmentTokens: number;
  /** Rows per chunk, undefined for one chunk of everything. */
  readonly chunkRows: number | undefined;
  readonly maxSegments: number;
}

/** Segments of running text. OptionError for text that cannot calibrate. */
export async function segmentText(
  file: ModelFile,
  text: string,
  options: SegmentOptions,
): Promise<Segment[]> {
  const tokenizer = await loadTokenizer(file);
  const tokens = tokenizer.encode(text, { addSpecial: false, parseSpecial: false });
  return cutSegments(tokens, { ...options, bosId: tokenizer.bosId }).map((piece) => ({ tokens: piece }));
}

/** Segments of JSON lines of prompt and answer. FormatError for a bad line; OptionError where no example fills a chunk. */
export async function segmentExamples(
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

/**
 * Cuts calibration tokens into segments. OptionError for text that cannot calibrate anything: empty, all one token,
 * shorter than a chunk.
 */
export function cutSegments(
  tokens: readonly number[],
  options: {
    readonly segmentTokens: number;
    readonly chunkRows: number | undefined;
    readonly maxSegments: number;
    readonly bosId: number | undefined;
  },
): number[][] {
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
  if (least > segmentTokens) {
    throw new OptionError(
      `calibration: chunks of ${least} rows do not fit segments of ${segmentTokens} tokens - use smaller chunks (--chunk-rows)`,
    );
  }
  if (body.length < least - (bosId === undefined ? 0 : 1)) {
    throw new OptionError(
      `calibration text: has ${body.length} tokens, expected at least ${least}, ${chunkRows === undefined ? "the least that shows channel ranges" : "one chunk of rows"} - use a longer text`,
    );
  }
  const lead = bosId === undefined ? [] : [bosId];
  const bodyLength = segmentTokens - lead.length;
  const segments: number[][] = [];
  for (let first = 0; first < body.length && segments.length < maxSegments; first += bodyLength) {
    const segment = [...lead, ...body.slice(first, first + bodyLength)];
    // The rest of a text is no fair sample of a chunk unless it fills one.
    if (segments.length === 0 || segment.length >= least) segments.push(segment);
  }
  return segments;
}

const MIN_FLAT_TOKENS = 32;
