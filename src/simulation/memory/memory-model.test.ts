import { describe, expect, it } from "vitest";
import { allocateDensities, keptCounts } from "../../methods/dynamic-input-pruning/densities.ts";
import { parseTransformerShape } from "../model-shapes.ts";
import { activeBytes, type MemoryPlan, type MemorySetting, planMemory } from "./memory-plan.ts";
import {
  firstTokenSeconds,
  type HookReads,
  hookSeconds,
  type MemoryLink,
  sequenceThroughput,
  staticSeconds,
  type Timing,
} from "./transfer-time.ts";

const INT4 = { pinnedWeight: 0.5, mlpWeight: 0.5, keyValue: 2 };

function setting(name: string, dramBytes: number): MemorySetting {
  return {
    shape: parseTransformerShape(name),
    storage: INT4,
    dramBytes,
    promptLength: 1024,
    sequenceLength: 2048,
    pinEmbedding: false,
    streamPinned: false,
  };
}

function link(timing: Timing): MemoryLink {
  return { dramBytesPerSecond: 60e9, flashBytesPerSecond: 1e9, timing };
}

describe("transfer times of a tiny MLP (L=1, d=8, f=16, one byte per weight)", () => {
  const hooks = (inputHits: number, gluHits: number): HookReads[] => [
    { linears: 2, unitBytes: 16, selected: Uint32Array.of(4), hits: Uint32Array.of(inputHits) },
    { linears: 1, unitBytes: 8, selected: Uint32Array.of(6), hits: Uint32Array.of(gluHits) },
  ];
  const seconds = (inputHits: number, gluHits: number, timing: Timing) =>
    hooks(inputHits, gluHits).reduce((sum, hook) => sum + hookSeconds(hook, 0, link(timing)), 0);

  it.each([
    [0, 0, "sequential", 176],
    [4, 6, "sequential", 2.9333],
    [3, 3, "sequential", 58],
    [3, 3, "concurrent", 56],
  ] as const)("%d and %d hits, %s: %d ns", (inputHits, gluHits, timing, nanoseconds) => {
    expect(seconds(inputHits, gluHits, timing) * 1e9).toBeCloseTo(nanoseconds, 4);
  });
});

describe("phi-3-medium, 4 bits, 4 GB of DRAM", () => {
  const plan = planMemory(setting("phi-3-medium", 4e9));

  /** Every token and layer alike: so many columns chosen, so many of them hits. */
  function steadyState(input: [number, number], glu: [number, number], timing: Timing): number {
    const reads = (["input", "glu"] as const).flatMap((hook) => {
      const [selected, hits] = hook === "input" ? input : glu;
      const { linears, unitBytes } = plan.hooks[hook];
      return Array.from({ length: plan.setting.shape.layers }, () => ({
        linears,
        unitBytes,
        selected: Uint32Array.of(selected),
        hits: Uint32Array.of(hits),
      }));
    });
    return sequenceThroughput(reads, staticSeconds(plan, link(timing)), link(timing)).tokensPerSecond;
  }

  it("pins attention, head, keys and values and splits the rest", () => {
    expect(plan.staticBytes).toBe(1_812_234_240);
    expect(plan.linearBudget).toBeCloseTo(18_231_381.33, 2);
    expect(plan.hooks.input).toEqual({ columns: 5120, linears: 2, unitBytes: 8960, slots: 2034 });
    expect(plan.hooks.glu).toEqual({ columns: 17920, linears: 1, unitBytes: 2560, slots: 7121 });
    expect(staticSeconds(plan, link("sequential")) * 1e3).toBeCloseTo(28.456, 3);
  });

  it.each([
    ["dense, pinned", [5120, 2034], [17920, 7121], 0.29562, 0.29884],
    ["density 0.5, no cache", [2940, 0], [6294, 0], 0.35967, undefined],
    ["density 0.5, half of it hits", [2940, 1470], [6294, 3147], 0.70061, 0.71205],
    ["density 0.5, most hits possible", [2940, 2034], [6294, 6294], 1.40269, 1.45218],
  ] as [string, [number, number], [number, number], number, number | undefined][])(
    "%s",
    (_name, input, glu, sequential, concurrent) => {
      expect(steadyState(input, glu, "sequential")).toBeCloseTo(sequential, 5);
      if (concurrent !== undefined) expect(steadyState(input, glu, "concurrent")).toBeCloseTo(concurrent, 5);
    },
  );

  it("uses the counts of the allocation", () => {
    const { width, feedForwardWidth } = plan.setting.shape;
    expect(keptCounts(allocateDensities(0.5), { width, feedForwardWidth })).toEqual({
      input: 2940,
      glu: 6294,
    });
  });

  it("reads everything once for the first token", () => {
    // 5.505 GB of MLP from flash, 1.602 GB of pinned parts (1024 positions) from DRAM
    const pinned = 82_083_840 + 1_310_720_000 + 209_715_200;
    expect(firstTokenSeconds(plan, link("sequential"))).toBeCloseTo(5.505024 + pinned / 60e9, 9);
    expect(firstTokenSeconds(plan, link("concurrent"))).toBeCloseTo(5.505024, 9);
  });
});

describe("whole-model read share at density 0.5 (attention, head and MLP, no keys and values)", () => {
  it.each([
    ["phi-3-medium", 5.505, 1.311, 0.082, 0.6009],
    ["phi-3-mini", 1.208, 0.604, 0.049, 0.6754],
    ["llama-3-8b", 2.819, 0.671, 0.263, 0.6243],
    ["mistral-7b", 2.819, 0.671, 0.066, 0.6035],
  ])("%s", (name, mlp, attention, head, share) => {
    const plan: MemoryPlan = planMemory({ ...setting(name, 100e9), sequenceLength: 1, promptLength: 1 });
    const { footprint } = plan;
    expect(footprint.mlp / 1e9).toBeCloseTo(mlp, 3);
    expect(footprint.attention / 1e9).toBeCloseTo(attention, 3);
    expect(footprint.head / 1e9).toBeCloseTo(head, 3);
    const { layers, width, feedForwardWidth } = plan.setting.shape;
    const counts = keptCounts(allocateDensities(0.5), { width, feedForwardWidth });
    const density =
      (2 * counts.input * feedForwardWidth + counts.glu * width) / (3 * width * feedForwardWidth);
    const dense = activeBytes(plan, 1) - footprint.keyValue;
    expect((activeBytes(plan, density) - footprint.keyValue) / dense).toBeCloseTo(share, 4);
    expect(density * footprint.mlp).toBeCloseTo(
      layers * (2 * counts.input * plan.hooks.input.unitBytes + counts.glu * plan.hooks.glu.unitBytes),
      2,
    );
  });
});

describe("planMemory", () => {
  it("refuses pinned parts larger than DRAM unless they may be streamed", () => {
    expect(() => planMemory(setting("phi-3-medium", 1.5e9))).toThrow(
      /need 1\.812 GB, expected at most the 1\.500 GB/,
    );
    const plan = planMemory({ ...setting("phi-3-medium", 1.5e9), streamPinned: true });
    expect(plan.overflowBytes).toBe(312_234_240);
    expect(plan.hooks.input.slots).toBe(0);
    // 1.707 GB on average, of which 0.312 GB come from flash
    expect(staticSeconds(plan, link("sequential"))).toBeCloseTo(0.31223424 + 1_395_142_400 / 60e9, 9);
  });

  it("refuses models without a gate and prompts longer than the sequence", () => {
    expect(() => planMemory(setting("opt-6.7b", 8e9))).toThrow(/no gated MLP/);
    expect(() => planMemory({ ...setting("phi-3-mini", 8e9), promptLength: 4096 })).toThrow(/longer than/);
  });

  it("counts scales inside the column and the embedding table when asked", () => {
    const plan = planMemory({
      ...setting("phi-3-medium", 4e9),
      storage: { ...INT4, mlpWeight: 0.5625 },
      pinEmbedding: true,
    });
    expect(plan.hooks.input.unitBytes).toBe(10_080);
    expect(plan.hooks.glu.unitBytes).toBe(2_880);
    expect(plan.footprint.embedding).toBe(82_083_840);
  });
});
