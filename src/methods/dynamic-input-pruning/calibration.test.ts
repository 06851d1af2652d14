/**
 * Thresholds from calibration: quantiles against sorting, and on a model against what the rewritten program keeps.
 */
import { describe, expect, test } from "vitest";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { nodePlatform } from "../../platform/node.ts";
import { calibrateThresholds, MagnitudeHistogram } from "./calibration.ts";

describe("MagnitudeHistogram", () => {
  test("keeps at least the share, by the smallest kept magnitude in 11 bits", () => {
    const histogram = new MagnitudeHistogram();
    histogram.add(Float32Array.of(-8, 1, 0.5, -0.25));
    expect(histogram.thresholdFor(0.25)).toEqual({ threshold: 8, share: 0.25 });
    expect(histogram.thresholdFor(0.5)).toEqual({ threshold: 1, share: 0.5 });
    expect(histogram.thresholdFor(0.51)).toEqual({ threshold: 0.5, share: 0.75 });
    expect(histogram.thresholdFor(1)).toEqual({ threshold: 0.25, share: 1 });
    histogram.add(Float32Array.of(8 + 2 ** -8));
    // 8 and 8 + 2^-8 differ below the eleventh bit: one threshold keeps both.
    expect(histogram.thresholdFor(0.2)).toEqual({ threshold: 8, share: 0.4 });
  });

  test("share of a sorted sample, within a bin", () => {
    const values = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * i) ** 3);
    const sorted = Float32Array.from(values, Math.abs).sort();
    const histogram = new MagnitudeHistogram();
    histogram.add(values);
    for (const kept of [0.1, 0.3, 0.5, 0.9]) {
      const { threshold, share } = histogram.thresholdFor(kept);
      expect(share).toBe(sorted.filter((value) => value >= threshold).length / 5000);
      const exact = sorted[5000 - Math.ceil(kept * 5000)];
      expect(threshold).toBeLessThanOrEqual(exact);
      expect(threshold).toBeGreaterThan(exact * (1 - 2 ** -9));
    }
  });
});

describe("calibrateThresholds", () => {
  test("every site of every layer keeps the wanted share, and the level raises the threshold", async () => {
    const file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
    const program = await buildProgram(file);
    const segments = [Array.from({ length: 24 }, (_, i) => (i * 37) % 320), [1, 2, 3, 4, 5, 6, 7]].map(
      (tokens) => ({ tokens }),
    );
    const sites = ["input", "glu", "attentionInput", "attended", "neurons"] as const;
    const at = (kept: number) =>
      calibrateThresholds(nodePlatform(), file, program, { sites, kept, segments, threads: 2 });
    const [half, tenth] = [await at(0.5), await at(0.1)];
    for (const site of sites) {
      const [wide, narrow] = [half.get(site), tenth.get(site)];
      expect(wide?.thresholds).toHaveLength(2);
      for (const layer of [0, 1]) {
        expect(wide?.shares?.[layer]).toBeCloseTo(0.5, 2);
        expect(narrow?.shares?.[layer]).toBeCloseTo(0.1, 2);
        expect(wide?.thresholds[layer]).toBeGreaterThan(0);
        expect(narrow?.thresholds[layer]).toBeGreaterThan(wide?.thresholds[layer] ?? Number.NaN);
      }
    }
    // |silu(x)| of negative x is at most 0.2785: what is compared is the activated gate, not the gate.
    expect(half.get("neurons")?.thresholds).not.toEqual(half.get("glu")?.thresholds);
  });
});
