import { describe, expect, it } from "vitest";
import { OptionError } from "../../errors.ts";
import {
  allocateDensities,
  keptCount,
  keptCounts,
  keptForDensity,
  LEAST_ALLOCATED_DENSITY,
  realisedDensity,
  touchedWeights,
} from "./densities.ts";

describe("allocateDensities", () => {
  it.each([
    [0.3, 0.369394, 0.161212],
    [0.4, 0.475117, 0.249767],
    [0.5, 0.574385, 0.35123],
    [0.6, 0.667998, 0.464004],
    [0.65, 0.712901, 0.524199],
    [0.7, 0.75664, 0.586719],
    [0.75, 0.799294, 0.651411],
    [0.8, 0.840942, 0.718116],
  ])("shares %d out", (density, input, glu) => {
    const densities = allocateDensities(density);
    expect(Math.abs(densities.input - input)).toBeLessThan(1e-6);
    expect(Math.abs(densities.glu - glu)).toBeLessThan(1e-6);
    expect(Math.abs((2 * densities.input + densities.glu) / 3 - density)).toBeLessThan(1e-12);
  });

  it("keeps everything at density 1 and stays within [0, 1] on the way there", () => {
    expect(allocateDensities(1)).toEqual({ input: 1, glu: 1 });
    for (let density = 9e-4; density < 1; density += 1e-3) {
      const { input, glu } = allocateDensities(density);
      expect(input).toBeGreaterThan(0);
      expect(input).toBeLessThan(1);
      expect(glu).toBeGreaterThanOrEqual(0);
      expect(glu).toBeLessThan(1);
    }
    const almost = allocateDensities(1 - Number.EPSILON / 2);
    expect(almost.glu).toBeLessThanOrEqual(1);
  });

  it.each([8e-4, LEAST_ALLOCATED_DENSITY, 0, -0.5, 1.0001, Number.NaN])("refuses %d", (density) => {
    expect(() => allocateDensities(density)).toThrow(OptionError);
  });
});

describe("kept columns at density 0.5, 4-bit weights without scales", () => {
  it.each([
    ["phi-3-medium", 5120, 17920, 40, 2940, 6294, 2_751_897_600, 0.499888],
    ["phi-3-mini", 3072, 8192, 32, 1764, 2877, 603_832_320, 0.499878],
    ["llama-3-8b and mistral-7b", 4096, 14336, 32, 2352, 5035, 1_408_958_464, 0.499884],
  ])("%s", (_name, width, feedForwardWidth, layers, input, glu, bytes, realised) => {
    const shape = { width, feedForwardWidth };
    const counts = keptCounts(allocateDensities(0.5), shape);
    expect(counts).toEqual({ input, glu });
    expect(0.5 * layers * touchedWeights(counts, shape)).toBe(bytes);
    expect(realisedDensity(counts, shape)).toBeCloseTo(realised, 6);
  });
});

describe("keptForDensity", () => {
  it("is what the matrices that are not dense keep", () => {
    expect(keptForDensity("gluPruning", 5 / 6)).toBeCloseTo(0.5, 12);
    expect(keptForDensity("gatePruning", 2 / 3)).toBeCloseTo(0.5, 12);
    expect(keptForDensity("upPruning", 2 / 3)).toBeCloseTo(0.5, 12);
    expect(keptForDensity("cats", 0.58)).toBeCloseTo(0.37, 12);
    expect(keptForDensity("gluPruning", 1)).toBe(1);
  });

  it("refuses what the dense matrices cost already", () => {
    expect(() => keptForDensity("gluPruning", 0.6)).toThrow(/expected 2\/3 to 1, got 0.6/);
    expect(() => keptForDensity("cats", 0.3)).toThrow(/expected 1\/3 to 1, got 0.3/);
    expect(() => keptForDensity("upPruning", Number.NaN)).toThrow(OptionError);
  });
});

it("refuses fractions outside [0, 1]", () => {
  expect(() => keptCount(1.2, 8)).toThrow(/density: out of range/);
});
