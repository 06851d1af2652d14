/** Scores, choice and sparse update on the numbers of the paper's formulas and of the released code. */
import { describe, expect, test } from "vitest";
import { angularDistance, blockInfluence, cosines } from "./influence.ts";
import {
  bestCandidates,
  type Candidate,
  chooseUnit,
  deletionCount,
  normScores,
  releasedFrozenBlocks,
  removedUnits,
  sensitivityScore,
  trainableBlocks,
} from "./selection.ts";

describe("scores", () => {
  test.each([
    [0, [1.463415, 0.980392, 0.655738], 100],
    [0.5, [0.979592, 0.655738, 0.438356], 80],
    [1, [0.731707, 0.490196, 0.327869], 50],
  ])("sensitivity with delta %f", (delta, expected, atZero) => {
    expect([40, 50, 60].map((a) => sensitivityScore(a, delta))).toEqual(
      expected.map((value) => expect.closeTo(value, 6)),
    );
    expect(sensitivityScore(100, delta)).toBe(0);
    expect(sensitivityScore(0, delta)).toBe(atZero);
  });

  test.each([0, 0.5, 1, 3])("the lowest sensitivity is the highest accuracy, delta %f", (delta) => {
    const accuracies = [62.5, 70, 71.5, 12, 71, 99, 55];
    const scores = accuracies.map((a) => sensitivityScore(a, delta));
    expect(scores.indexOf(Math.min(...scores))).toBe(accuracies.indexOf(99));
  });

  test("norms: the largest scores lowest", () => {
    expect(normScores([20, 25, 50, 100])).toEqual([100, 80, 40, 20]);
  });

  test("a sum of the two would be the norm's choice, the lexicographic rule is not", () => {
    const a = { layer: 0, kind: "mlp", quality: 0.7, norm: 10 } as const;
    const b = { layer: 1, kind: "mlp", quality: 0.69, norm: 100 } as const;
    const [normA, normB] = normScores([a.norm, b.norm]);
    expect(sensitivityScore(70, 0) + normA).toBeCloseTo(100.423, 3);
    expect(sensitivityScore(69, 0) + normB).toBeCloseTo(10.443, 3);
    expect(chooseUnit([a, b], 0, "activation")).toBe(a);
    expect(chooseUnit([a, b], 0.02, "activation")).toBe(b);
  });
});

describe("choice", () => {
  const candidates = (attention: readonly number[], mlp: readonly number[], norms: readonly number[]) => [
    ...attention.map(
      (quality, layer): Candidate => ({ layer, kind: "attention", quality, norm: norms[layer] }),
    ),
    ...mlp.map((quality, layer): Candidate => ({ layer, kind: "mlp", quality, norm: 1 })),
  ];

  test("an MLP goes when attention and MLP are equally good", () => {
    const units = candidates([62, 70, 70, 58], [60, 70, 52, 55], [1, 12, 15.5, 1]);
    expect(bestCandidates(units, 0)).toHaveLength(3);
    expect(chooseUnit(units, 0, "activation")).toMatchObject({ layer: 1, kind: "mlp" });
  });

  test("within a kind the norm breaks the tie, or the index", () => {
    const units = candidates([62, 72, 72, 58], [60, 70, 52, 55], [1, 12, 15.5, 1]);
    expect(chooseUnit(units, 0, "activation")).toMatchObject({ layer: 2, kind: "attention" });
    expect(chooseUnit(units, 0, "naive")).toMatchObject({ layer: 1, kind: "attention" });
    expect(() => chooseUnit([], 0, "naive")).toThrow(/no unit/);
  });
});

describe("sparse update", () => {
  const sums = [90, 120, 110, 120, 80, 120, 100, 95];

  test("the released rule freezes more than asked on ties", () => {
    expect(releasedFrozenBlocks(sums, 0.25)).toEqual([1, 3, 5]);
    expect(releasedFrozenBlocks(sums, 0.5)).toEqual([1, 2, 3, 5]);
    expect(releasedFrozenBlocks(sums, 0)).toEqual([]);
  });

  test("ours trains exactly the share asked for", () => {
    expect(trainableBlocks(sums, 0.75)).toEqual([0, 1, 2, 4, 6, 7]);
    const scores = Array.from({ length: 32 }, (_, i) => (i * 7) % 5);
    expect(trainableBlocks(scores, 0.25)).toHaveLength(8);
    expect(trainableBlocks(scores, 0.375)).toHaveLength(12);
    expect(trainableBlocks(scores, 1)).toHaveLength(32);
  });
});

test("how much work: epochs and deletions", () => {
  expect([41, 32, 17].map((epochs) => removedUnits(epochs, 64))).toEqual([40, 31, 16]);
  expect(removedUnits(41, 16)).toBe(16);
  expect(deletionCount(64, 40, false)).toBe(1780);
  expect(deletionCount(64, 40, true)).toBe(1804);
});

test("block influence and angular distance", () => {
  const rotated = (cosine: number) => Float32Array.of(cosine, Math.sqrt(1 - cosine ** 2));
  const vectors = [0.98, 0.9, 0.5].map((cosine) => cosines(Float32Array.of(1, 0), rotated(cosine), 2));
  expect(vectors.map(blockInfluence)).toEqual([0.02, 0.1, 0.5].map((value) => expect.closeTo(value, 6)));
  expect([0.98, 0.9, 0.5].map(angularDistance)).toEqual(
    [0.063769, 0.143566, 0.333333].map((value) => expect.closeTo(value, 6)),
  );
  const two = cosines(Float32Array.of(1, 0, 0, 2), Float32Array.of(1, 0, 3, 0), 2);
  expect(blockInfluence(two)).toBeCloseTo(0.5, 12);
});
