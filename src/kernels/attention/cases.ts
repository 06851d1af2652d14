/**
 * Case rows of attention: head widths, groups of query heads, windows and scales, over caches in f16, f32 and bytes. The steps
 * fill three slots in mixed order, cross panels of positions, and go back to an earlier position, behind which the
 * cache still holds what was stored before. Some rows see only intervals of what is there.
 */
import { type Interval, mergeIntervals } from "../../program/intervals.ts";
import { KEY_VALUE_FORMATS, type KeyValueFormat } from "../../program/key-value-format.ts";
import type { KeyValueCache } from "../../program/program.ts";
import { CaseBuilder, tokenBuffer } from "../case-builder.ts";
import { type CaseStep, type KernelCase, oneKernel } from "../kernel-case.ts";

/** f32 scores, exponentials and sums over up to 36 positions. */
const BOUND = 1e-5;
/** An error of 1e-7 of a score of some hundreds is one of 1e-5 of its exponential. */
const PEAKED_BOUND = 2e-4;
/** The same over codes: queries and weights are rounded to 1/32767 of their largest. */
const CODES_BOUND = 1e-4;
const CODES_PEAKED_BOUND = 1e-2;
/** Distinct queries, keys and values. */
const TOKENS = 40;

interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly window?: number;
  /** Multiplies queries: large scores make the softmax pick one position. */
  readonly queryScale?: number;
  /** Rows see only some positions. */
  readonly spans?: keyof typeof SPANS;
}

const SPANS = {
  /** What a row that states everything sees. */
  all: (t: number) => [{ start: 0, end: t + 1 }],
  itself: (t: number) => [{ start: t, end: t + 1 }],
  /** The first positions, single ones and ends of panels, the last ones; some rows state nothing. */
  some: (t: number) =>
    t % 5 === 3
      ? undefined
      : mergeIntervals([
          { start: 0, end: Math.min(2, t + 1) },
          { start: Math.min(4, t), end: Math.min(5, t) },
          { start: Math.min(7, t), end: Math.min(9, t) },
          { start: Math.min(15, t), end: Math.min(27, t) },
          { start: Math.max(0, t - (t % 4)), end: t + 1 },
        ]),
} satisfies Readonly<Record<string, (t: number) => Interval[] | undefined>>;

const SHAPES: readonly Shape[] = [
  { heads: 1, kvHeads: 1, headWidth: 16 },
  { heads: 4, kvHeads: 2, headWidth: 16 },
  { heads: 6, kvHeads: 2, headWidth: 16 },
  { heads: 8, kvHeads: 2, headWidth: 16 },
  { heads: 14, kvHeads: 2, headWidth: 16 },
  { heads: 16, kvHeads: 2, headWidth: 16 },
  { heads: 5, kvHeads: 5, headWidth: 8 },
  { heads: 8, kvHeads: 2, headWidth: 4 },
  { heads: 3, kvHeads: 1, headWidth: 12 },
  { heads: 5, kvHeads: 1, headWidth: 5 },
  { heads: 4, kvHeads: 1, headWidth: 64 },
  { heads: 6, kvHeads: 2, headWidth: 80 },
  { heads: 4, kvHeads: 4, headWidth: 128 },
  { heads: 4, kvHeads: 2, headWidth: 16, window: 1 },
  { heads: 4, kvHeads: 1, headWidth: 16, window: 5 },
  { heads: 8, kvHeads: 2, headWidth: 16, window: 8 },
  { heads: 4, kvHeads: 1, headWidth: 8, window: 17 },
  { heads: 4, kvHeads: 1, headWidth: 16, window: 100 },
  { heads: 4, kvHeads: 1, headWidth: 16, queryScale: 100 },
  { heads: 3, kvHeads: 3, headWidth: 16, queryScale: 0 },
  { heads: 1, kvHeads: 1, headWidth: 16, spans: "all" },
  { heads: 8, kvHeads: 2, headWidth: 16, spans: "itself" },
  { heads: 1, kvHeads: 1, headWidth: 16, spans: "some" },
  { heads: 4, kvHeads: 1, headWidth: 64, spans: "some" },
  { heads: 6, kvHeads: 2, headWidth: 12, spans: "some" },
  { heads: 5, kvHeads: 5, headWidth: 8, spans: "some" },
  { heads: 16, kvHeads: 2, headWidth: 64, spans: "some" },
  { heads: 14, kvHeads: 2, headWidth: 16, spans: "some" },
  { heads: 24, kvHeads: 2, headWidth: 8, spans: "some" },
  { heads: 16, kvHeads: 1, headWidth: 16, spans: "some" },
  { heads: 4, kvHeads: 1, headWidth: 16, spans: "some", window: 9 },
  { heads: 4, kvHeads: 1, headWidth: 16, spans: "some", queryScale: 100 },
];

export function attentionCases(): readonly KernelCase[] {
  return KEY_VALUE_FORMATS.flatMap((format) => SHAPES.map((shape) => shapeCase(shape, format)));
}

function shapeCase(shape: Shape, keyValueFormat: KeyValueFormat): KernelCase {
  const { heads, kvHeads, headWidth, window, queryScale = 1, spans } = shape;
  const builder = new CaseBuilder(`attention ${keyValueFormat} ${JSON.stringify(shape)}`);
  const cache: KeyValueCache = { name: "cache", kvHeads, headWidth };
  const rows = (name: string, width: number, deviation = 1) =>
    builder.input(name, builder.random(name, TOKENS * width, deviation), width);
  const query = rows("query", heads * headWidth, queryScale);
  const key = rows("key", kvHeads * headWidth);
  const value = rows("value", kvHeads * headWidth);
  const out = tokenBuffer("out", heads * headWidth);
  builder.push({ kind: "storeKeyValue", key, value, cache });
  builder.test({ kind: "attention", query, cache, out, heads, scale: 1 / Math.sqrt(headWidth), window });
  const [bound, peakedBound] =
    keyValueFormat === "q8" ? [CODES_BOUND, CODES_PEAKED_BOUND] : [BOUND, PEAKED_BOUND];
  const facts = {
    kernel: oneKernel(`attention_${keyValueFormat}`),
    bound: queryScale > 1 ? peakedBound : bound,
    steps: sequenceSteps().map((step) => ({
      ...step,
      ...(spans && { visible: Array.from(step.positions, SPANS[spans]) }),
    })),
    slots: 3,
    keyValueFormat,
  };
  return builder.finish(out, facts);
}

/** Every entry is [slot, position]; the token is chosen by both, so that no two positions look alike. */
export function sequenceSteps(): CaseStep[] {
  const run = (slot: number, first: number, end: number) =>
    Array.from({ length: end - first }, (_, i) => [slot, first + i] as const);
  const steps: (readonly (readonly [slot: number, position: number])[])[] = [
    run(0, 0, 33),
    run(0, 33, 34),
    [
      [1, 0],
      [0, 34],
      [2, 0],
      [1, 1],
      [2, 1],
      [1, 2],
      [0, 35],
    ],
    run(1, 3, 4),
    [...run(2, 2, 9), ...run(1, 4, 7)],
    // Back to position 7 of slot 0: positions 10 to 35 hold an abandoned text.
    run(0, 7, 10),
    run(0, 10, 11),
    run(0, 11, 13),
  ];
  return steps.map(stepOf);
}

function stepOf(rows: readonly (readonly [slot: number, position: number])[], index: number): CaseStep {
  return {
    tokens: Int32Array.from(rows, ([slot, position]) => (index * 5 + slot * 13 + position * 7) % TOKENS),
    positions: Int32Array.from(rows, ([, position]) => position),
    slots: Int32Array.from(rows, ([slot]) => slot),
    outputs: Int32Array.from(rows, (_, row) => row),
  };
}
