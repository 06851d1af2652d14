/**
 * Case rows of attention with integer products: head widths, groups of query heads, windows, stated
 * intervals, both widths of codes, over caches in f16 and f32. All codes but those of scores are equal to the
 * reference's; a score on the bound between two codes may fall on either side, which BOUND allows for.
 */
import type { Interval } from "../../program/intervals.ts";
import type { KeyValueCache } from "../../program/program.ts";
import { sequenceSteps } from "../attention/cases.ts";
import { CaseBuilder, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";

/** f32 exponentials, sums of up to 36 positions. */
const BOUND = 1e-5;
const TOKENS = 40;

interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly limit: 127 | 7;
  readonly groups: number;
  readonly window?: number;
  readonly spans?: boolean;
}

const SHAPES: readonly Shape[] = [
  { heads: 1, kvHeads: 1, headWidth: 16, limit: 127, groups: 8 },
  { heads: 8, kvHeads: 2, headWidth: 16, limit: 127, groups: 4 },
  { heads: 3, kvHeads: 1, headWidth: 12, limit: 127, groups: 1 },
  { heads: 5, kvHeads: 1, headWidth: 5, limit: 7, groups: 5 },
  { heads: 4, kvHeads: 2, headWidth: 64, limit: 127, groups: 8, window: 5 },
  { heads: 6, kvHeads: 2, headWidth: 80, limit: 7, groups: 3 },
  { heads: 4, kvHeads: 4, headWidth: 16, limit: 127, groups: 8, spans: true },
];

export function tenderAttentionCases(): readonly KernelCase[] {
  return (["f16", "f32"] as const).flatMap((format) => SHAPES.map((shape) => shapeCase(shape, format)));
}

function shapeCase(shape: Shape, keyValueFormat: "f16" | "f32"): KernelCase {
  const { heads, kvHeads, headWidth, limit, groups, window } = shape;
  const builder = new CaseBuilder(`attention of integers ${keyValueFormat} ${JSON.stringify(shape)}`);
  const cache: KeyValueCache = { name: "cache", kvHeads, headWidth };
  const random = (name: string, count: number, deviation = 1) => builder.random(name, count, deviation);
  const rows = (name: string, width: number) => builder.input(name, random(name, TOKENS * width), width);
  const query = rows("query", heads * headWidth);
  const key = rows("key", kvHeads * headWidth);
  const value = rows("value", kvHeads * headWidth);
  const out = tokenBuffer("out", heads * headWidth);
  const exponents = random("exponents", heads * headWidth).map((x) =>
    Math.min(groups - 1, Math.floor(Math.abs(x) * groups)),
  );
  builder.push({ kind: "storeKeyValue", key, value, cache });
  builder.test({
    kind: "attention",
    query,
    cache,
    out,
    heads,
    scale: 1 / Math.sqrt(headWidth),
    window,
    codes: {
      limit,
      maxExponent: groups - 1,
      scoreGroups: limit === 127 ? 8 : 12,
      queryBias: builder.vector("query bias", random("query bias", heads * headWidth, 0.2)),
      queryExponents: builder.vector("query exponents", exponents),
      queryScales: builder.vector(
        "query scales",
        Float32Array.from({ length: heads }, (_, head) => (1 + head / 8) / limit / 2 ** (groups - 1)),
      ),
      keyBias: builder.vector("key bias", random("key bias", kvHeads * headWidth, 0.3)),
      // The first channel is all zeros as far as calibration knows, others clip.
      valueScales: builder.vector(
        "value scales",
        Float32Array.from({ length: kvHeads * headWidth }, (_, i) => (i === 0 ? 0 : (2 + (i % 3)) / limit)),
      ),
    },
  });
  const seen = (t: number): Interval[] | undefined =>
    t % 4 === 1
      ? undefined
      : [...(t > 6 ? [{ start: 0, end: 3 }] : []), { start: Math.max(0, t - 3), end: t + 1 }];
  return builder.finish(out, {
    kernel: oneKernel(`tender_attention_${keyValueFormat}`),
    bound: BOUND,
    steps: sequenceSteps().map((step) => ({
      ...step,
      ...(shape.spans === true && { visible: Array.from(step.positions, seen) }),
    })),
    slots: 3,
    keyValueFormat,
  });
}
