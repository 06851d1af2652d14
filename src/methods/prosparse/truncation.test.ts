/** CETT of the specification's example, the share below epsilon, and the search for an epsilon. */
import { describe, expect, it } from "vitest";
import { TruncationCurve } from "./truncation.ts";

/** Neurons whose outputs are (3, 0), (0, 0.4) and (0.3, 0) where x1 is 1. */
function example(): TruncationCurve {
  const curve = new TruncationCurve(Float32Array.of(3, 0, 0, 0.4, 0.3, 0), 2);
  curve.add(Float32Array.of(1, 1, 1));
  return curve;
}

describe("cumulative error of tail truncation", () => {
  it.each([
    [0.5, 0.150414, 2 / 3],
    [0.35, 0.090249, 1 / 3],
    [0.1, 0, 0],
    [0, 0, 0],
    [100, 1, 1],
  ])("at epsilon %f is %f", (epsilon, error, share) => {
    expect(example().errorAt(epsilon)).toBeCloseTo(error, 6);
    expect(example().shareBelow(epsilon)).toBeCloseTo(share, 12);
  });

  it("is a mean over tokens; zeros are below every epsilon and tokens without output have no error", () => {
    const curve = example();
    curve.add(Float32Array.of(0, 0, 0, 1, 0, -1));
    // (3.3, .4) without (.3, .4); nothing; (3, 0) - (.3, 0) without (.3, 0)
    expect(curve.errorAt(0.5)).toBeCloseTo((0.150414 + 0 + 0.3 / 2.7) / 3, 6);
    expect(curve.shareBelow(1e-30)).toBeCloseTo(4 / 9, 12);
    expect(curve.shareBelow(0)).toBe(0);
  });

  it("finds the largest epsilon that an error allows", () => {
    const curve = example();
    const allowed = curve.epsilonFor(0.1);
    expect(allowed).toBeGreaterThan(0.3 / (1 + 1 / 32));
    expect(allowed).toBeLessThanOrEqual(0.4);
    expect(curve.errorAt(allowed)).toBeCloseTo(0.090249, 6);
    expect(curve.epsilonFor(0)).toBeLessThanOrEqual(0.3);
    expect(curve.shareBelow(curve.epsilonFor(1))).toBe(1);
  });
});
