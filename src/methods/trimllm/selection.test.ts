/** Scores, choice and sparse update on the numbers of the paper's formulas and of the released code. */
import { describe, expect, test } from "vitest";
import { blockInfluence, cosines } from "./influence.ts";
import { bestCandidates, type Candidate, chooseUnit, normScores, trainableBlocks } from "./selection.ts";

describe("scores", () => {
  test("norms: the largest scores lowest", () => {
    expect(normScores([20, 25, 50, 100])).toEqual([100, 80, 40, 20]);
  });

  test("quality goes before the norm, however far the norms are apart", () => {
    const a = { layer: 0, kind: "mlp", quality: 0.7, norm: 10 } as const;
    const b = { layer: 1, kind: "mlp", quality: 0.69, norm: 100 } as const;
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

  test("ours trains exactly the share asked for", () => {
    expect(trainableBlocks(sums, 0.75)).toEqual([0, 1, 2, 4, 6, 7]);
    const scores = Array.from({ length: 32 }, (_, i) => (i * 7) % 5);
    expect(trainableBlocks(scores, 0.25)).toHaveLength(8);
    expect(trainableBlocks(scores, 0.375)).toHaveLength(12);
    expect(trainableBlocks(scores, 1)).toHaveLength(32);
  });
});

test("block influence", () => {
  const rotated = (cosine: number) => Float32Array.of(cosine, Math.sqrt(1 - cosine ** 2));
  const vectors = [0.98, 0.9, 0.5].map((cosine) => cosines(Float32Array.of(1, 0), rotated(cosine), 2));
  expect(vectors.map(blockInfluence)).toEqual([0.02, 0.1, 0.5].map((value) => expect.closeTo(value, 6)));
  const two = cosines(Float32Array.of(1, 0, 0, 2), Float32Array.of(1, 0, 3, 0), 2);
  expect(blockInfluence(two)).toBeCloseTo(0.5, 12);
});
