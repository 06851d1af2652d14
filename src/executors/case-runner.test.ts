/**
 * The case runner itself must be able to fail: wrong results, wrong kernels and numbers that are none are
 * reported; the reference executor passes its own rows.
 */
import { describe, expect, test } from "vitest";
import type { KernelCase } from "../kernels/kernel-case.ts";
import type { Op } from "../program/program.ts";
import { type CaseSubjectFactory, relativeError, runCase } from "./case-runner.ts";
import { kernelCases } from "./kernel-cases.ts";
import { createReferenceExecutor } from "./reference/reference-executor.ts";

const CASES = kernelCases();

/** Ops with rows in the table; a new op does not compile until it is listed here. */
const ROWS_IN_TABLE: Readonly<Record<Op["kind"], true>> = {
  embed: true,
  rmsNorm: true,
  linear: true,
  rope: true,
  storeKeyValue: true,
  attention: true,
  glu: true,
  activate: true,
  add: true,
  scale: true,
  selectOutputs: true,
  tenderLinear: true,
  selectColumns: true,
  linearColumns: true,
  linearRows: true,
};

/**
 * The reference executor as a subject that claims the kernels a row expects; `change` may spoil its logits.
 */
function subjectOf(
  { kernel, program: { ops } }: KernelCase,
  change: (logits: Float32Array) => void = () => {},
): CaseSubjectFactory {
  return async (program, file, options) => {
    const executor = await createReferenceExecutor(program, file, { ...options, threads: 1, simd: "auto" });
    const { name, limits, weightBytes, keyValueBytes } = executor;
    return {
      name,
      program,
      limits,
      weightBytes,
      keyValueBytes,
      kernels: { decode: ops.map(() => kernel.decode), batch: ops.map(() => kernel.batch) },
      async step(request) {
        const logits = await executor.step(request);
        change(logits);
        return logits;
      },
      readBytes: (attended) => executor.readBytes(attended),
      dispose: () => executor.dispose(),
    };
  };
}

function findCase(name: string): KernelCase {
  const found = CASES.find((kernelCase) => kernelCase.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
}

describe("rows", () => {
  test("cover every kind of op and hold on the reference executor", async () => {
    const kinds = new Set(CASES.map(({ program, op }) => program.ops[op].kind));
    for (const [kind, rows] of Object.entries(ROWS_IN_TABLE))
      expect([kind, kinds.has(kind as Op["kind"])]).toEqual([kind, rows]);
    for (const name of ["linear F32 [9, 100]", 'attention f16 {"heads":4,"kvHeads":2,"headWidth":16}']) {
      const kernelCase = findCase(name);
      const result = await runCase(kernelCase, subjectOf(kernelCase));
      expect(result.failures).toEqual([]);
      expect(result.error).toBe(0);
    }
  });

  test("fail when one logit is off", async () => {
    const kernelCase = findCase("rope halves, 4 heads of 16, 8 pairs");
    const result = await runCase(
      kernelCase,
      subjectOf(kernelCase, (logits) => {
        if (logits.length > 3) logits[3] += 1e-4;
      }),
    );
    expect(result.error).toBeGreaterThan(1e-6);
    expect(result.failures[0]).toMatch(/^step 0: error /);
  });

  test("fail when a logit is not a number", async () => {
    const kernelCase = findCase("add width 37, factor -0.3");
    const result = await runCase(
      kernelCase,
      subjectOf(kernelCase, (logits) => logits.fill(Number.NaN, 0, 1)),
    );
    expect(result.error).toBe(Number.POSITIVE_INFINITY);
  });

  test("fail when the kernel's own arithmetic is not met, though the reference is", async () => {
    // The reference executor multiplies exact activations: within the loose bound, far from the tight one.
    const kernelCase = findCase("linear Q4_0 [9, 96]");
    const result = await runCase(kernelCase, subjectOf(kernelCase));
    expect(result.error).toBe(0);
    expect(result.modelError).toBeGreaterThan(1e-4);
    expect(result.failures[0]).toContain("of its own arithmetic");
  });

  test("fail when another kernel ran", async () => {
    const kernelCase = findCase("scale width 37, factor -12");
    const other = { ...kernelCase, kernel: { decode: "scale_f32", batch: "scale_f32_fast" } };
    const result = await runCase(other, subjectOf(kernelCase));
    expect(result.failures).toEqual(["batch: expected kernel scale_f32_fast, got scale_f32"]);
  });
});

test("relativeError measures each row by its own largest value and demands exact zeros", () => {
  const expected = Float32Array.of(1000, 0, 1, 2);
  expect(relativeError(Float32Array.of(1000, 0, 1, 2), expected, 2)).toBe(0);
  expect(relativeError(Float32Array.of(1000, 0, 1.5, 2), expected, 2)).toBe(0.25);
  expect(relativeError(Float32Array.of(0, 1e-30), new Float32Array(2), 2)).toBe(Number.POSITIVE_INFINITY);
  expect(relativeError(new Float32Array(3), expected, 2)).toBe(Number.POSITIVE_INFINITY);
});
