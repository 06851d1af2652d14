/**
 * Linear and attention on shapes, step lengths and placements that nobody chose: whatever the shape, the wasm executor
 * stays within the bound of its format and within its memory, and tokens that share a step give the bits they give alone.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CaseBuilder, tokenBuffer } from "../../src/kernels/case-builder.ts";
import { type CaseStep, type KernelCase, oneKernel } from "../../src/kernels/kernel-case.ts";
import { KEY_VALUE_FORMATS } from "../../src/program/key-value-format.ts";
import type { KeyValueCache } from "../../src/program/program.ts";
import { bf16 } from "../../src/quantization/bf16.ts";
import { f16 } from "../../src/quantization/f16.ts";
import { f32 } from "../../src/quantization/f32.ts";
import { q4_0 } from "../../src/quantization/q4-0.ts";
import { q8_0 } from "../../src/quantization/q8-0.ts";
import { runGuarded } from "../parity/guarded-run.ts";
import { inlinePlatform } from "../parity/inline-platform.ts";
import { firstDifference } from "../parity/sequence-runs.ts";

const INPUTS = 8;
const PLATFORM = inlinePlatform();
const RUNS = { numRuns: 120, seed: 11 };

/** Bounds are relative to a row's largest value, which is small where a row has few and cancelling sums. */
const FORMATS = [
  { format: f32, kernel: "f32_f32", block: 1, bound: 1e-4 },
  { format: f16, kernel: "f16_f32", block: 1, bound: 1e-4 },
  { format: bf16, kernel: "bf16_f32", block: 1, bound: 1e-4 },
  { format: q8_0, kernel: "q8_i16", block: 32, bound: 1e-2 },
  { format: q4_0, kernel: "q4_i8", block: 32, bound: 0.6 },
] as const;

/** One batch, then each of its rows in a step of its own, in the same order. */
function togetherAndAlone(rows: readonly { token: number; position: number; slot: number }[]): CaseStep[] {
  return [rows, ...rows.map((row) => [row])].map((part) => ({
    tokens: Int32Array.from(part, ({ token }) => token),
    positions: Int32Array.from(part, ({ position }) => position),
    slots: Int32Array.from(part, ({ slot }) => slot),
    outputs: Int32Array.from(part, (_, row) => row),
  }));
}

async function expectHolds(kernelCase: KernelCase, simd: "relaxed" | "plain"): Promise<void> {
  const { failures, logits } = await runGuarded(PLATFORM, kernelCase, simd);
  expect(failures).toEqual([]);
  const [together, ...alone] = logits;
  const width = kernelCase.program.vocabularySize;
  alone.forEach((row, r) => {
    expect(firstDifference(together.subarray(r * width, (r + 1) * width), row)).toBe(-1);
  });
}

const simds = fc.constantFrom("relaxed", "plain");

test("linears of any shape", async () => {
  const shapes = fc.record({
    kernel: fc.constantFrom(...FORMATS),
    rows: fc.integer({ min: 1, max: 75 }),
    units: fc.integer({ min: 1, max: 9 }),
    bias: fc.boolean(),
    tokens: fc.array(fc.nat(INPUTS - 1), { minLength: 2, maxLength: 19 }),
    simd: simds,
  });
  await fc.assert(
    fc.asyncProperty(
      shapes,
      async ({ kernel: { format, kernel, block, bound }, rows, units, bias, tokens, simd }) => {
        const columns = units * block;
        const builder = new CaseBuilder(`linear ${kernel} [${rows}, ${columns}]`);
        const x = builder.input("x", builder.random("x", INPUTS * columns), columns);
        const out = tokenBuffer("out", rows);
        builder.test({
          kind: "linear",
          x,
          weight: builder.matrix("weight", rows, columns, format, builder.random("weight", rows * columns)),
          bias: bias ? builder.vector("bias", builder.random("bias", rows)) : undefined,
          out,
        });
        const steps = togetherAndAlone(tokens.map((token, position) => ({ token, position, slot: 0 })));
        const names = { decode: `linear_${kernel}_row`, batch: `linear_${kernel}_tile` };
        await expectHolds(builder.finish(out, { kernel: names, bound, steps }), simd);
      },
    ),
    RUNS,
  );
});

test("attention of any shape", async () => {
  const shapes = fc.record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 9 }),
    headWidth: fc.integer({ min: 1, max: 40 }),
    window: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    format: fc.constantFrom(...KEY_VALUE_FORMATS),
    first: fc.integer({ min: 0, max: 2 }),
    lengths: fc.tuple(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 1, max: 12 })),
    simd: simds,
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ kvHeads, group, headWidth, window, format, first, lengths, simd }) => {
      const heads = kvHeads * group;
      const builder = new CaseBuilder(`attention ${heads}/${kvHeads} of ${headWidth}`);
      const cache: KeyValueCache = { name: "cache", kvHeads, headWidth };
      const input = (name: string, width: number) =>
        builder.input(name, builder.random(name, INPUTS * width), width);
      const out = tokenBuffer("out", heads * headWidth);
      const query = input("query", heads * headWidth);
      const [key, value] = [input("key", kvHeads * headWidth), input("value", kvHeads * headWidth)];
      builder.push({ kind: "storeKeyValue", key, value, cache });
      builder.test({ kind: "attention", query, cache, out, heads, scale: headWidth ** -0.5, window });
      // Slot `first` and the next one, a token of each in turn while both last.
      const rows = lengths
        .flatMap((length, i) =>
          Array.from({ length }, (_, position) => ({
            token: (position * 3 + i) % INPUTS,
            position,
            slot: first + i,
          })),
        )
        .sort((a, b) => a.position - b.position);
      const facts = {
        kernel: oneKernel(`attention_${format}`),
        // Over bytes queries and weights are codes as well.
        bound: format === "q8" ? 1e-3 : 1e-4,
        steps: togetherAndAlone(rows),
        slots: 4,
        keyValueFormat: format,
      };
      await expectHolds(builder.finish(out, facts), simd);
    }),
    RUNS,
  );
});
