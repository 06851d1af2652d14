import { describe, expect, it } from "vitest";
import { NO_PREFERENCE } from "../../methods/dynamic-input-pruning/column-selection.ts";
import { allocateDensities } from "../../methods/dynamic-input-pruning/densities.ts";
import { parseTransformerShape } from "../model-shapes.ts";
import { HookReplay, REPLAY_POLICIES } from "./cache-replay.ts";
import type { ColumnTrace } from "./column-trace.ts";
import { type SweepAxes, type SweepRow, sweepMemory } from "./memory-sweep.ts";
import { createSyntheticTrace } from "./synthetic-trace.ts";

const SHAPE = parseTransformerShape("layers=3,d=40,ff=96,heads=4,kv=2,vocab=64");
const PINNED = 64 * 40 + 40 * 40 * 3 * 3; // one byte per weight, no keys and values
const MLP = 3 * 40 * 96 * 3;
const SETTING = {
  storage: { pinnedWeight: 1, mlpWeight: 1, keyValue: 0 },
  promptLength: 0,
  sequenceLength: 30,
  pinEmbedding: false,
  streamPinned: false,
};
const LINK = { dramBytesPerSecond: 60e9, flashBytesPerSecond: 1e9, timing: "sequential" } as const;

function syntheticTrace(sequences: number): ColumnTrace {
  return createSyntheticTrace({
    shape: SHAPE,
    sequences,
    tokens: 30,
    promptTokens: 0,
    correlation: 0.7,
    spread: 0.7,
    seed: 3,
  });
}

function sweep(axes: Partial<SweepAxes>, trace = syntheticTrace(2)): Promise<SweepRow[]> {
  return sweepMemory(trace, {
    axes: {
      dramBytes: [PINNED + MLP / 2],
      links: [LINK],
      densities: [allocateDensities(0.5)],
      policies: ["lru"],
      preferences: [NO_PREFERENCE],
      ...axes,
    },
    setting: SETTING,
    seed: 1,
  });
}

describe("sweepMemory", () => {
  it("orders policies as theory has it and prices fewer flash bytes as speed", async () => {
    const [dense, none, lru, lfu, belady] = await sweep({ policies: REPLAY_POLICIES });
    expect(dense.method).toBe("dense");
    expect(dense.density).toBe(1);
    // slots of 40 and 96 columns at half the MLP: 20 and 48; every token after the first finds them resident
    expect(dense.slots).toEqual({ input: 20, glu: 48 });
    expect(dense.hitRate.input).toBeCloseTo((29 / 30) * 0.5, 12);
    expect(none.hitRate).toEqual({ input: 0, glu: 0 });
    for (const hook of ["input", "glu"] as const) {
      expect(belady.hitRate[hook]).toBeGreaterThanOrEqual(lru.hitRate[hook]);
      expect(belady.hitRate[hook]).toBeGreaterThanOrEqual(lfu.hitRate[hook]);
      expect(lru.hitRate[hook]).toBeGreaterThan(0.3);
    }
    expect(belady.tokensPerSecond).toBeGreaterThan(none.tokensPerSecond);
    expect(none.tokensPerSecond).toBeGreaterThan(0);
    // transfers of the same bytes, whoever serves them: 3 layers of (2 k_in f + k_glu d)
    for (const row of [none, lru, lfu, belady]) {
      const bytes = 3 * (2 * (row.counts?.input ?? 0) * 96 + (row.counts?.glu ?? 0) * 40);
      expect(row.flashBytesPerToken + row.dramBytesPerToken).toBeCloseTo(bytes, 6);
      expect(row.density).toBeCloseTo(bytes / MLP, 12);
    }
  });

  it("with gamma 1 and any cache selects what DIP selects", async () => {
    const dramBytes = [PINNED, PINNED + MLP / 4, PINNED + MLP];
    const plain = await sweep({ dramBytes });
    const neutral = await sweep({
      dramBytes,
      preferences: [{ ...NO_PREFERENCE, warmUp: true, fixedTopN: 3 }],
    });
    const strip = ({ preference: _, ...row }: SweepRow) => row;
    expect(neutral.map(strip)).toEqual(plain.map(strip));
  });

  it("a stronger preference for cached columns reads less flash", async () => {
    const gammas = [1, 0.5, 0.2, 0];
    const rows = await sweep({ preferences: gammas.map((gamma) => ({ ...NO_PREFERENCE, gamma })) });
    const flash = rows.filter(({ method }) => method !== "dense").map((row) => row.flashBytesPerToken);
    for (let i = 1; i < flash.length; i++) expect(flash[i]).toBeLessThan(flash[i - 1]);
  });

  it("prices bandwidths without replaying", async () => {
    const fast = { ...LINK, flashBytesPerSecond: 2e9 };
    const rows = await sweep({ links: [LINK, fast] });
    expect(rows).toHaveLength(4);
    expect(rows[3].flashBytesPerToken).toBe(rows[2].flashBytesPerToken);
    expect(rows[3].tokensPerSecond).toBeGreaterThan(1.5 * rows[2].tokensPerSecond);
  });

  it("a sequence after another reads what it reads alone", async () => {
    const both = syntheticTrace(2);
    const second: ColumnTrace = {
      header: { ...both.header, sequences: both.header.sequences.slice(1) },
      readHook: (_sequence, layer, hook) => both.readHook(1, layer, hook),
    };
    const first: ColumnTrace = { ...syntheticTrace(1) };
    const preferences = [{ ...NO_PREFERENCE, gamma: 0.3 }];
    const [, together] = await sweep({ preferences }, both);
    const [, alone] = await sweep({ preferences }, second);
    const [, before] = await sweep({ preferences }, first);
    expect(together.flashBytesPerToken).toBeCloseTo(
      (alone.flashBytesPerToken + before.flashBytesPerToken) / 2,
      9,
    );
  });

  it("replays recorded selections", async () => {
    const trace: ColumnTrace = {
      header: {
        ...syntheticTrace(1).header,
        content: "columns",
        sequences: [{ promptTokens: 0, tokens: 2 }],
      },
      readHook: async () => ({
        content: "columns",
        selections: { starts: Uint32Array.of(0, 2, 3), columnsOf: Int32Array.of(4, 7, 7) },
      }),
    };
    const [, row] = await sweep({ densities: ["recorded"] }, trace);
    expect(row).toMatchObject({ method: "recorded", counts: null, hitRate: { input: 1 / 3, glu: 1 / 3 } });
    expect(row.flashBytesPerToken).toBe((3 * 2 * (2 * 96 + 40)) / 2);
    await expect(sweep({}, trace)).rejects.toThrow(/holds selected columns, expected scores/);
  });

  it("refuses what means nothing", async () => {
    await expect(
      sweep({ policies: ["belady"], preferences: [{ ...NO_PREFERENCE, gamma: 0.5 }] }),
    ).rejects.toThrow(/belady needs gamma 1/);
    await expect(sweep({ densities: ["recorded"] })).rejects.toThrow(/holds scores, expected a density/);
    await expect(sweep({ preferences: [{ ...NO_PREFERENCE, gamma: 2 }] })).rejects.toThrow(/gamma/);
  });

  it("stops when told to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const axes: SweepAxes = {
      dramBytes: [PINNED],
      links: [LINK],
      densities: [],
      policies: [],
      preferences: [],
    };
    await expect(sweepMemory(syntheticTrace(1), { axes, setting: SETTING, seed: 0, signal })).rejects.toThrow(
      "enough",
    );
  });
});

describe("HookReplay", () => {
  it("with gamma 0 and enough residents reads nothing from flash", () => {
    const scores = Float32Array.from({ length: 50 * 20 }, (_, i) => 1 + ((i * 7919) % 101));
    const replay = new HookReplay({ content: "scores", scores }, 20, 50);
    const { selected, hits } = replay.run({
      kept: 6,
      policy: "lru",
      slots: 6,
      preference: { ...NO_PREFERENCE, gamma: 0 },
      seed: 0,
    });
    expect([...selected]).toEqual(new Array(50).fill(6));
    expect([...hits]).toEqual([0, ...new Array(49).fill(6)]);
  });
});
