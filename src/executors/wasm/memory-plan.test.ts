/**
 * The memory plan of whole models: every region on its own cache lines, none over another, tied weights once,
 * and the storage that each file format or demand leads to.
 */
import { describe, expect, test } from "vitest";
import { SPAN_ROW_BYTES } from "../../kernels/layout.ts";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { programRotaryTables } from "../../program/dataflow.ts";
import type { Program, Weight } from "../../program/program.ts";
import { f16 } from "../../quantization/f16.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import { formatByName } from "../../quantization/registry.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import type { ExecutorOptions } from "../executor.ts";
import { readColumnOrders } from "./column-order.ts";
import { type MemoryPlan, planMemory } from "./memory-plan.ts";
import { STAGING_BYTES } from "./staging.ts";
import { packedBytes, weightLayout } from "./weight-layout.ts";

const LIMITS = { contextLength: 45, slots: 3, stepTokens: 30 };

async function planOf(
  family: "llama" | "qwen3",
  format: WeightFormat,
  options: Partial<ExecutorOptions> = {},
) {
  const file = await openSyntheticGguf(createSyntheticCheckpoint(family, syntheticShape(family), 3), format);
  const program = await buildProgram(file);
  const settings = {
    threads: 3,
    limits: LIMITS,
    keyValueFormat: "f16",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
    ...options,
  } satisfies ExecutorOptions;
  const plan = planMemory(program, file, settings, await readColumnOrders(program, file));
  return { plan, program, file };
}

/** Regions whose sizes the plan and the program state or imply, as [start, bytes]. */
function regionsOf(plan: MemoryPlan, program: Program): [start: number, bytes: number][] {
  return [
    [plan.spans, SPAN_ROW_BYTES * LIMITS.stepTokens],
    ...programRotaryTables(program).map(({ name, inverseFrequencies }): [number, number] => [
      plan.angles.get(name) ?? 0,
      8 * inverseFrequencies.length * LIMITS.stepTokens,
    ]),
    [plan.panelScratch, plan.panelScratchStride * 3],
    [plan.zeros, 4 * Math.max(...[...plan.buffers.values()].map(({ stride }) => stride / 4))],
    [plan.ones.address, 4 * plan.ones.count],
    [plan.taken.address, 4 * plan.taken.count],
    ...[...plan.prepared.values()].map(({ tiles }): [number, number] => [tiles, 1]),
    [plan.control, 512],
    ...[plan.tokens, plan.positions, plan.slots, plan.outputs].map((at): [number, number] => [
      at,
      4 * LIMITS.stepTokens,
    ]),
    ...[...plan.buffers.values()].map(({ address, stride }): [number, number] => [
      address,
      stride * LIMITS.stepTokens,
    ]),
    ...[...plan.caches.values()].flatMap(({ keys, values, slotBytes }): [number, number][] => [
      [keys, slotBytes * LIMITS.slots],
      [values, slotBytes * LIMITS.slots],
    ]),
    [
      plan.echo + Math.min(...[...plan.caches.values()].map(({ keys }) => keys)) / 64,
      plan.keyValueBytes / 64,
    ],
    ...[...plan.prepared.values()].map(({ rows, rowStride }): [number, number] => [rows, rowStride * 3]),
    [plan.scratch, plan.scratchStride * 3],
    [plan.tape, plan.tapeBytes],
    [plan.staging, 2 * STAGING_BYTES],
    ...[...new Set(plan.weights.values())].map(({ address, bytes }): [number, number] => [address, bytes]),
  ];
}

describe("regions", () => {
  test.each(["llama", "qwen3"] as const)(
    "of %s lie on cache lines of their own, inside the memory",
    async (family) => {
      const { plan, program } = await planOf(family, q8_0);
      const regions = regionsOf(plan, program).sort(([a], [b]) => a - b);
      regions.forEach(([start, bytes], i) => {
        expect(start % 64).toBe(0);
        expect(start).toBeGreaterThanOrEqual(65536);
        expect(start + bytes).toBeLessThanOrEqual(regions[i + 1]?.[0] ?? plan.pages * 65536);
      });
    },
  );

  test("of keys and values hold whole panels of positions in the format asked for", async () => {
    const [half, full] = [await planOf("llama", f16), await planOf("llama", f16, { keyValueFormat: "f32" })];
    // 2 layers, keys and values, 3 slots, 2 heads of 16, 45 positions rounded up to 48
    expect(half.plan.keyValueBytes).toBe(2 * 2 * 3 * 2 * 16 * 48 * 2);
    expect(full.plan.keyValueBytes).toBe(2 * half.plan.keyValueBytes);
    expect(half.plan.capacity).toBe(48);
    const bytes = await planOf("llama", f16, { keyValueFormat: "q8" });
    expect(bytes.plan.keyValueBytes).toBe(2 * 2 * 3 * 2 * (16 + 4) * 48);
  });

  test("of a tied head and its embedding are one", async () => {
    const { plan, program } = await planOf("qwen3", q8_0);
    const tables = program.ops.flatMap((op) =>
      op.kind === "embed" ? [op.table] : op.kind === "linear" && op.out.rows === "outputs" ? [op.weight] : [],
    );
    expect(tables.length).toBe(2);
    const [embedding, head] = tables.map(({ name }) => plan.weights.get(name)?.address);
    expect(embedding).toBeDefined();
    expect(head).toBe(embedding);
  });
});

describe("storage in kernel memory", () => {
  const matrix = (columns: number): Weight => ({ name: "w", rows: 9, columns, tensor: "w", firstRow: 0 });
  const nameOf = (format: string, forced: ExecutorOptions["weightFormat"], columns = 256) =>
    weightLayout(matrix(columns), formatByName(format), forced).name;

  test("follows the file where there are kernels, and is 8-bit blocks for the other block formats", () => {
    expect(["F32", "F16", "BF16", "Q8_0", "Q4_0"].map((format) => nameOf(format, "auto"))).toEqual([
      "f32",
      "f16",
      "bf16",
      "q8",
      "q4",
    ]);
    const others = "Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0".split(" ");
    expect(others.map((format) => nameOf(format, "auto"))).toEqual(others.map(() => "q8"));
  });

  test("is what was demanded, f16 where rows are no whole blocks", () => {
    for (const forced of ["f32", "f16", "q8", "q4"] as const) expect(nameOf("F32", forced)).toBe(forced);
    expect(nameOf("F32", "q8", 33)).toBe("f16");
    expect(nameOf("F32", "q4", 33)).toBe("f16");
    expect(nameOf("F32", "f32", 33)).toBe("f32");
  });

  test("takes whole panels of 8 rows: 9 rows are 16", () => {
    const bytes = (format: string) =>
      packedBytes(matrix(64), weightLayout(matrix(64), formatByName(format), "auto"));
    expect(bytes("F32")).toBe(16 * 64 * 4);
    expect(bytes("BF16")).toBe(16 * 64 * 2);
    expect(bytes("Q8_0")).toBe(16 * 2 * 34);
    expect(bytes("Q4_0")).toBe(16 * 2 * 18);
  });
});
