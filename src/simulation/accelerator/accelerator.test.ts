import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTransformerShape } from "../model-shapes.ts";
import { type Design, designName, listDesigns } from "./designs.ts";
import { arraySide, DEFAULT_ENERGY, findHardware } from "./hardware.ts";
import { layerWork, type Matmul } from "./layer-matmuls.ts";
import { arrayCycles, countMatmul, utilisation } from "./matmul-cost.ts";
import { simulateAccelerator } from "./simulate-accelerator.ts";

const HARDWARE = findHardware("array-64");
const tender = (bits: 4 | 8, groups: number): Design => ({ kind: "tender", bits, groups });

function matmul(rows: number, inner: number, columns: number): Matmul {
  return { name: "test", rows, inner, columns, count: 1, weights: true };
}

describe("cycles of the array", () => {
  it.each([
    [256, 4, 14, 1_100_544],
    [256, 4, 1, 1_097_216],
    [256, 8, 8, 4_297_728],
    [1, 4, 14, 275_136],
  ] as const)("%d x 4096 x 4096 at %d bits, %d groups", (rows, bits, groups, cycles) => {
    const counts = countMatmul(matmul(rows, 4096, 4096), tender(bits, groups), HARDWARE);
    expect(counts.cycles).toBe(cycles);
  });

  it("one row leaves the array idle", () => {
    const counts = countMatmul(matmul(1, 4096, 4096), tender(4, 14), HARDWARE);
    expect(utilisation(counts, HARDWARE)).toBeCloseTo(0.0149, 4);
  });

  it("knows the width of an operand", () => {
    expect([4, 8, 16].map((bits) => arraySide(HARDWARE, bits as 4 | 8 | 16))).toEqual([64, 32, 16]);
    // 3 x 2 tiles of (10 + 5 + 62 + 32)
    expect(arrayCycles({ rows: 65, inner: 10, columns: 64 }, 32, 5)).toBe(6 * 109);
  });
});

describe("traffic of a matmul", () => {
  it("loads both operands once when they fit", () => {
    const counts = countMatmul(matmul(64, 128, 64), { kind: "plain", bits: 8 }, HARDWARE);
    // codes of both, 16-bit outputs, a scale per column
    const operands = 64 * 128 + 128 * 64;
    expect(counts.dramBytes).toBe(operands + 2 * 64 * 64 + 4 * 64);
    // 2 x 2 tiles: each operand streams twice; loading writes it once; accumulators pass a buffer
    expect(counts.sramBytes).toBe(operands + 2 * operands + 8 * 64 * 64);
    expect(counts.macs).toEqual({ 4: 0, 8: 64 * 128 * 64, 16: 0 });
    expect(counts.vectorOps).toBe(64 * 128 + 64 * 64);
  });

  it("loads one operand again for every block of the other", () => {
    const small = { ...HARDWARE, scratchpadBytes: 2 * 32 * 1000 };
    const plain: Design = { kind: "plain", bits: 8 };
    // two tiles of 32 lines fit: 128 rows are 2 blocks, 96 columns as well;
    // 96 columns come again at less cost
    const counts = countMatmul(matmul(128, 1000, 96), plain, small);
    expect(counts.dramBytes).toBe(128 * 1000 + 2 * 96 * 1000 + 2 * 128 * 96 + 4 * 96);
    // not even one tile fits: 4 x rows of tiles for the weights, 3 x columns of tiles for the inputs
    const tiny = countMatmul(matmul(128, 1000, 96), plain, { ...HARDWARE, scratchpadBytes: 1000 });
    expect(tiny.dramBytes).toBe(3 * 128 * 1000 + 4 * 96 * 1000 + 2 * 128 * 96 + 4 * 96);
  });

  it("counts Tender's metadata once per chunk of 256 rows", () => {
    const plain = countMatmul(matmul(300, 100, 50), { kind: "plain", bits: 8 }, HARDWARE);
    const counts = countMatmul(matmul(300, 100, 50), tender(8, 8), HARDWARE);
    expect(counts.dramBytes - plain.dramBytes).toBe(2 * (4 * 100 + 4 * 50 + 4));
    expect(counts.vectorOps - plain.vectorOps).toBe(300 * 100 + 300 * 50);
  });
});

describe("designs", () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 300 }),
    inner: fc.integer({ min: 2, max: 3000 }),
    columns: fc.integer({ min: 1, max: 300 }),
    bits: fc.constantFrom<(4 | 8)[]>(4, 8),
  });

  it("coincide where their idea vanishes", () => {
    fc.assert(
      fc.property(sizes, ({ rows, inner, columns, bits }) => {
        const work = matmul(rows, inner, columns);
        const plain = countMatmul(work, { kind: "plain", bits }, HARDWARE);
        expect(countMatmul(work, tender(bits, 1), HARDWARE).cycles).toBe(plain.cycles);
        expect(countMatmul(work, { kind: "mixed", bits, outlierShare: 0 }, HARDWARE)).toEqual(plain);
        const one = countMatmul(work, { kind: "groupwise", bits, groupSize: inner }, HARDWARE);
        expect(one).toEqual({ ...plain, dramBytes: plain.dramBytes - 2 * columns });
      }),
    );
  });

  it("keep the work and pay for what they add", () => {
    fc.assert(
      fc.property(sizes, ({ rows, inner, columns, bits }) => {
        const work = matmul(rows, inner, columns);
        const plain = countMatmul(work, { kind: "plain", bits }, HARDWARE);
        const tiles = plain.cycles / (inner + 3 * arraySide(HARDWARE, bits) - 2);
        const shifted = countMatmul(work, tender(bits, 9), HARDWARE);
        expect(shifted.cycles).toBe(plain.cycles + tiles * (Math.min(9, inner) - 1));
        const grouped = countMatmul(work, { kind: "groupwise", bits, groupSize: 64 }, HARDWARE);
        // 64 lanes take a row of the array per cycle or more, so draining takes as long as the array is high
        const drains = (Math.ceil(inner / 64) - 1) * arraySide(HARDWARE, bits);
        expect(grouped.cycles).toBe(plain.cycles + tiles * drains);
        const mixed = countMatmul(work, { kind: "mixed", bits, outlierShare: 0.1 }, HARDWARE);
        expect(mixed.macs[bits] + mixed.macs[16]).toBe(rows * inner * columns);
        expect(mixed.macs[16]).toBe(rows * Math.ceil(0.1 * inner) * columns);
      }),
    );
  });

  it("have names and limits", () => {
    const designs = listDesigns({ bits: 4, groups: 14, outlierShare: 0.015, groupSize: 128 });
    expect(designs.map(designName)).toEqual([
      "tender int4, 14 groups",
      "plain int4",
      "int4 + 16-bit outliers (1.5 %)",
      "groupwise int4, groups of 128",
    ]);
    const options = { bits: 4, groups: 14, outlierShare: 0.01, groupSize: 128 } as const;
    expect(() => listDesigns({ ...options, groups: 0 })).toThrow(/groups: expected a whole number/);
    expect(() => listDesigns({ ...options, outlierShare: 1 })).toThrow(/outlier share/);
    expect(() => listDesigns({ ...options, groupSize: 1.5 })).toThrow(/group size/);
  });
});

describe("layers", () => {
  it.each([
    ["opt-6.7b", 12 * 4096 * 4096],
    ["llama-2-7b", 4 * 4096 * 4096 + 3 * 4096 * 11008],
    ["phi-3-medium", 2 * 5120 * 5120 + 2 * 5120 * 1280 + 3 * 5120 * 17920],
  ])("%s has all its weights", (name, weights) => {
    const { matmuls } = layerWork(parseTransformerShape(name), 1, undefined);
    const sum = matmuls.reduce((total, { inner, columns, count }) => total + count * inner * columns, 0);
    expect(sum).toBe(weights);
  });

  it("attention multiplies every head with every position", () => {
    const shape = parseTransformerShape("phi-3-medium");
    const attention = layerWork(shape, 3, 1000).matmuls.filter(({ weights }) => !weights);
    const macs = attention.reduce(
      (sum, { rows, inner, columns, count }) => sum + count * rows * inner * columns,
      0,
    );
    expect(macs).toBe(2 * 3 * 1000 * 5120);
    // keys and values are read once per head that stores them
    const operand = attention.reduce((sum, { inner, columns, count }) => sum + count * inner * columns, 0);
    expect(operand).toBe(2 * 1000 * 1280);
  });
});

describe("simulateAccelerator", () => {
  const shape = parseTransformerShape("llama-2-7b");

  it("adds up its matmuls", () => {
    const row = simulateAccelerator(shape, 256, undefined, tender(4, 14), HARDWARE, DEFAULT_ENERGY);
    const { counts, time, energy } = row.layer;
    expect(counts.cycles).toBe(
      row.matmuls.reduce((sum, { matmul, each }) => sum + matmul.count * each.counts.cycles, 0),
    );
    expect(row.matmuls[0].each.counts.cycles).toBe(1_100_544);
    expect(time.arraySeconds).toBeCloseTo(counts.cycles / 1e9, 12);
    expect(time.sequentialSeconds).toBeCloseTo(time.arraySeconds + time.dramSeconds + time.vectorSeconds, 12);
    expect(time.overlappedSeconds).toBeLessThan(time.sequentialSeconds);
    expect(energy.mac).toBeCloseTo(counts.macs[4] * 0.15e-12, 12);
    expect(energy.dram).toBeCloseTo(counts.dramBytes * 31.2e-12, 12);
    expect(energy.total).toBeCloseTo(energy.mac + energy.sram + energy.dram + energy.vector, 12);
    expect(row.modelSeconds).toBeCloseTo(32 * time.overlappedSeconds, 9);
    expect(row.modelJoules).toBeCloseTo(32 * energy.total, 9);
  });

  it("is bound by DRAM when that is slow", () => {
    const slow = { ...HARDWARE, dramBytesPerSecond: 1e9 };
    const { time } = simulateAccelerator(shape, 1, 512, tender(4, 14), slow, DEFAULT_ENERGY).layer;
    expect(time.overlappedSeconds).toBeCloseTo(time.dramSeconds + time.vectorSeconds, 12);
  });

  it("does not charge the vector unit's time twice where the array waits for it", () => {
    const design: Design = { kind: "groupwise", bits: 4, groupSize: 128 };
    const grouped = simulateAccelerator(shape, 64, undefined, design, HARDWARE, DEFAULT_ENERGY).layer;
    const plain = simulateAccelerator(
      shape,
      64,
      undefined,
      { kind: "plain", bits: 4 },
      HARDWARE,
      DEFAULT_ENERGY,
    ).layer;
    expect(grouped.time.vectorSeconds).toBeCloseTo(plain.time.vectorSeconds, 12);
    expect(grouped.energy.vector).toBeGreaterThan(plain.energy.vector);
  });
});
