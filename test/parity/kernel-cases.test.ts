/**
 * The case table on the wasm executor, beside the reference executor: with relaxed and plain SIMD, one thread under a
 * guard of the whole memory, and two and three threads, which must give the same bits as one.
 */
import { describe, expect, test } from "vitest";
import { runCase } from "../../src/executors/case-runner.ts";
import { kernelCases } from "../../src/executors/kernel-cases.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { runGuarded } from "./guarded-run.ts";
import { inlinePlatform } from "./inline-platform.ts";
import { firstDifference } from "./sequence-runs.ts";

const CASES = kernelCases();
const INLINE = inlinePlatform();

test("rows have names of their own", () => {
  expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
});

describe.each(["relaxed", "plain"] as const)("kernels with %s SIMD", (simd) => {
  test.each(CASES.map((kernelCase) => [kernelCase.name, kernelCase] as const))(
    "%s",
    async (_, kernelCase) => {
      const result = await runGuarded(INLINE, kernelCase, simd);
      expect(result.failures).toEqual([]);
    },
  );
});

/** Integers are the same with either build, and their sums are scaled without fused multiply-adds. */
describe("relaxed and plain SIMD give the same bits", () => {
  const integerRows = CASES.filter(({ name }) =>
    /^(linear (Q8_0|Q4_0|.* kept as q8)|linearColumns q8|tenderLinear)/.test(name),
  );
  test.each(integerRows.map((kernelCase) => [kernelCase.name, kernelCase] as const))(
    "%s",
    async (_, kernelCase) => {
      const run = (simd: "relaxed" | "plain") =>
        runCase(kernelCase, (program, file, rest) =>
          createWasmExecutor(INLINE, program, file, { ...rest, threads: 1, simd }),
        );
      expectSameBits((await run("relaxed")).logits, (await run("plain")).logits);
    },
  );
});

function expectSameBits(got: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(got.length).toBe(expected.length);
  got.forEach((logits, step) => {
    expect(firstDifference(logits, expected[step])).toBe(-1);
  });
}

/** Rows whose ops share work in ways of their own, and a sample of the others: threads cost a worker's start each. */
const SHARED = CASES.filter(
  ({ name }, i) =>
    name.startsWith("tape") ||
    (name.startsWith("attention") && name.includes('"heads":16')) ||
    (name.startsWith("tenderLinear") && name.endsWith("[57, 1030]")) ||
    i % 7 === 0,
);

describe.each([
  [2, "relaxed"],
  [3, "plain"],
] as const)("%i threads with %s SIMD give the bits of one", (threads, simd) => {
  test.each(SHARED.map((kernelCase) => [kernelCase.name, kernelCase] as const))(
    "%s",
    async (_, kernelCase) => {
      const run = (count: number) =>
        runCase(kernelCase, (program, file, rest) =>
          createWasmExecutor(count === 1 ? INLINE : nodePlatform(), program, file, {
            ...rest,
            threads: count,
            simd,
          }),
        );
      const [one, many] = [await run(1), await run(threads)];
      expect(many.failures).toEqual([]);
      expectSameBits(many.logits, one.logits);
    },
  );
});
