/**
 * Stated spans, whatever they are: attention over intervals is masked attention, what lies outside them has no influence
 * on a single bit, stating everything is stating nothing, and a mask leaves the caches as they were.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CaseBuilder, tokenBuffer } from "../../src/kernels/case-builder.ts";
import { type CaseStep, type KernelCase, oneKernel } from "../../src/kernels/kernel-case.ts";
import { type Interval, mergeIntervals } from "../../src/program/intervals.ts";
import { KEY_VALUE_FORMATS } from "../../src/program/key-value-format.ts";
import { runGuarded } from "../parity/guarded-run.ts";
import { inlinePlatform } from "../parity/inline-platform.ts";
import { firstDifference } from "../parity/sequence-runs.ts";

const TOKENS = 40;
const PLATFORM = inlinePlatform();
const RUNS = { numRuns: 60, seed: 5 };

const shapes = fc.record({
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 13 }),
  headWidth: fc.constantFrom(4, 8, 12, 16, 32, 64),
  format: fc.constantFrom(...KEY_VALUE_FORMATS),
  length: fc.oneof(
    { weight: 15, arbitrary: fc.integer({ min: 1, max: 90 }) },
    { weight: 1, arbitrary: fc.integer({ min: 500, max: 620 }) },
  ),
  cuts: fc.array(
    fc.tuple(
      fc.oneof({ weight: 15, arbitrary: fc.nat(90) }, { weight: 1, arbitrary: fc.nat(620) }),
      fc.integer({ min: 1, max: 100 }),
      fc.boolean(),
    ),
    { maxLength: 12 },
  ),
  rewritten: fc.double({ min: 0, max: 1, noNaN: true }),
  simd: fc.constantFrom("relaxed", "plain"),
});
type Shape = typeof shapes extends fc.Arbitrary<infer T> ? T : never;

/** What the token after `length` others sees: some spans, and itself. */
function stated({ length, cuts }: Shape): Interval[] {
  const spans = cuts.map(([start, width, short]) => ({
    start: Math.min(start, length),
    end: Math.min(start + (short ? 1 + (width % 20) : width), length),
  }));
  return mergeIntervals([...spans, { start: length, end: length + 1 }]);
}

/**
 * Fills a slot with `before`, then attends from the next position three times: stated, all stated, nothing stated. Then
 * stores others from some position on, as after going back, and attends again: what is stated is as it is stored.
 */
function attentionCase(shape: Shape, before: readonly number[]): KernelCase {
  const { kvHeads, group, headWidth, format, length } = shape;
  const builder = new CaseBuilder(`spans ${kvHeads} ${group} ${headWidth} ${format}`);
  const rows = (name: string, width: number) =>
    builder.input(name, builder.random(name, TOKENS * width), width);
  const heads = kvHeads * group;
  const cache = { name: "cache", kvHeads, headWidth };
  const [query, key, value] = [
    rows("query", heads * headWidth),
    rows("key", kvHeads * headWidth),
    rows("value", kvHeads * headWidth),
  ];
  const out = tokenBuffer("out", heads * headWidth);
  builder.push({ kind: "storeKeyValue", key, value, cache });
  builder.test({ kind: "attention", query, cache, out, heads, scale: headWidth ** -0.5, window: undefined });
  const single = (visible?: readonly Interval[]): CaseStep => ({
    tokens: Int32Array.of(1),
    positions: Int32Array.of(length),
    slots: Int32Array.of(0),
    outputs: Int32Array.of(0),
    ...(visible && { visible: [visible] }),
  });
  const fill: CaseStep = {
    tokens: Int32Array.from(before),
    positions: Int32Array.from(before, (_, i) => i),
    slots: new Int32Array(length),
    outputs: new Int32Array(),
  };
  const kept = Math.floor(shape.rewritten * (length - 1));
  const again: CaseStep = {
    tokens: fill.tokens.slice(kept).map((token) => (token + 11) % TOKENS),
    positions: fill.positions.slice(kept),
    slots: fill.slots.slice(kept),
    outputs: fill.outputs,
  };
  const spans = stated(shape);
  const all = [{ start: 0, end: length + 1 }];
  const steps = [fill, single(spans), single(all), single(), again, single(spans), single()];
  const kernel = oneKernel(`attention_${format}`);
  return builder.finish(out, { kernel, bound: format === "q8" ? 2e-4 : 1e-5, steps, keyValueFormat: format });
}

test("attention over intervals is masked attention, and all stated is nothing stated", async () => {
  await fc.assert(
    fc.asyncProperty(shapes, async (shape) => {
      const before = Array.from({ length: shape.length }, (_, i) => (i * 7 + 3) % TOKENS);
      const { failures, logits } = await runGuarded(PLATFORM, attentionCase(shape, before), shape.simd);
      expect(failures).toEqual([]);
      expect(firstDifference(logits[2], logits[3])).toBe(-1);
    }),
    RUNS,
  );
});

test("what is not stated changes no bit", async () => {
  await fc.assert(
    fc.asyncProperty(shapes, async (shape) => {
      const seen = stated(shape);
      const isSeen = (i: number) => seen.some(({ start, end }) => i >= start && i < end);
      const before = Array.from({ length: shape.length }, (_, i) => (i * 7 + 3) % TOKENS);
      const other = before.map((token, i) => (isSeen(i) ? token : (token + 1 + (i % 5)) % TOKENS));
      const one = await runGuarded(PLATFORM, attentionCase(shape, before), shape.simd);
      const two = await runGuarded(PLATFORM, attentionCase(shape, other), shape.simd);
      expect(firstDifference(one.logits[1], two.logits[1])).toBe(-1);
      if (other.some((token, i) => token !== before[i])) {
        expect(firstDifference(one.logits[3], two.logits[3])).not.toBe(-1);
      }
    }),
    RUNS,
  );
});
