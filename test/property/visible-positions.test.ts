/**
 * Stated spans, whatever they are: attention over intervals is masked attention, what lies outside them has no influence
 * on a single bit, stating everything is stating nothing, and a mask leaves the caches as they were.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CaseBuilder, tokenBuffer } from "../../src/kernels/case-builder.ts";
import { type CaseStep, type KernelCase, oneKernel } from "../../src/kernels/kernel-case.ts";
import { type Interval, mergeIntervals } from "../../src/program/intervals.ts";
import { runGuarded } from "../parity/guarded-run.ts";
import { inlinePlatform } from "../parity/inline-platform.ts";
import { firstDifference } from "../parity/sequence-runs.ts";

const TOKENS = 40;
const PLATFORM = inlinePlatform();
const RUNS = { numRuns: 100, seed: 5 };

const shapes = fc.record({
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 5 }),
  headWidth: fc.constantFrom(4, 8, 12, 16, 32),
  format: fc.constantFrom("f16", "f32"),
  length: fc.integer({ min: 1, max: 90 }),
  cuts: fc.array(fc.tuple(fc.nat(90), fc.integer({ min: 1, max: 20 })), { maxLength: 12 }),
  simd: fc.constantFrom("relaxed", "plain"),
});
type Shape = typeof shapes extends fc.Arbitrary<infer T> ? T : never;

/** What the token after `length` others sees: some spans, and itself. */
function stated({ length, cuts }: Shape): Interval[] {
  const spans = cuts.map(([start, width]) => ({
    start: Math.min(start, length),
    end: Math.min(start + width, length),
  }));
  return mergeIntervals([...spans, { start: length, end: length + 1 }]);
}

/** Fills a slot with `before`, then attends from the next position three times: stated, all stated, nothing stated. */
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
  const steps = [fill, single(stated(shape)), single([{ start: 0, end: length + 1 }]), single()];
  const kernel = oneKernel(`attention_${format}_f32`);
  return builder.finish(out, { kernel, bound: 1e-5, steps, keyValueFormat: format });
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
