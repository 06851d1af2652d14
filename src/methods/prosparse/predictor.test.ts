/** The specification's loss and recall, gradients against finite differences, learning, and SparseInfer's rule. */
import { describe, expect, it } from "vitest";
import {
  countPredictions,
  createPredictor,
  type PredictorWeights,
  PredictorTrainer,
  predict,
  predictorLoss,
  recallOf,
  restWeight,
} from "./predictor.ts";
import { countSignRule, skipsBySigns } from "./sign-rule.ts";

const TARGETS = Uint8Array.of(1, 0, 0, 1);
const LOGITS = Float32Array.of(2, -1, 0.5, -0.5);

describe("loss", () => {
  it("weighs what does not live by the share of what does", () => {
    expect(restWeight(TARGETS)).toBeCloseTo(0.505, 12);
    expect(predictorLoss(TARGETS, LOGITS, 0.505)).toBeCloseTo(0.437778, 6);
  });

  it("has the derivatives that finite differences show, and does not overflow", () => {
    const gradient = new Float32Array(4);
    predictorLoss(TARGETS, LOGITS, 0.505, gradient);
    for (let i = 0; i < 4; i++) {
      const moved = (by: number) =>
        predictorLoss(
          TARGETS,
          LOGITS.map((value, j) => (i === j ? value + by : value)),
          0.505,
        );
      expect(gradient[i]).toBeCloseTo((moved(2 ** -6) - moved(-(2 ** -6))) / 2 ** -5, 4);
    }
    expect(predictorLoss(Uint8Array.of(0, 1), Float32Array.of(-1000, 1000), 0.5)).toBe(0);
    expect(predictorLoss(Uint8Array.of(1, 0), Float32Array.of(-1000, 1000), 0.5)).toBe(750);
  });
});

it("recall is counted over all tokens, not averaged over them", () => {
  const token = (live: number, hits: number) => ({ live, hits, predicted: hits, total: 20 });
  expect(recallOf([token(10, 9), token(2, 1)])).toBeCloseTo(0.833333, 6);
  expect(recallOf([token(0, 0)])).toBe(1);
  expect(countPredictions(TARGETS, LOGITS)).toEqual({ live: 2, predicted: 2, hits: 1, total: 4 });
});

describe("training", () => {
  const shape = { width: 5, rank: 3, neurons: 7 };
  const rows = 3;
  const x = Float32Array.from({ length: rows * shape.width }, (_, i) => Math.sin(1 + 3 * i));
  const targets = Uint8Array.from({ length: rows * shape.neurons }, (_, i) => (i % 3 === 0 ? 1 : 0));

  it("moves every weight against its derivative", () => {
    const weights = createPredictor(shape, 1);
    const loss = (changed: PredictorWeights) =>
      predictorLoss(targets, predict(changed, x, rows), restWeight(targets));
    for (const name of ["inner", "outer"] as const) {
      const slopes = Array.from(weights[name], (_, i) => {
        const moved = (by: number) =>
          loss({ ...weights, [name]: weights[name].map((v, j) => (i === j ? v + by : v)) });
        return (moved(1e-2) - moved(-1e-2)) / 2e-2;
      });
      const trained = { ...weights, inner: weights.inner.slice(), outer: weights.outer.slice() };
      new PredictorTrainer(trained, { learningRate: 1e-3, weightDecay: 0 }).update(
        x,
        targets,
        rows,
        restWeight(targets),
      );
      // The first step of Adam is the sign of the derivative.
      slopes.forEach((slope, i) => {
        const step = trained[name][i] - weights[name][i];
        if (Math.abs(slope) > 1e-3) expect(step).toBeCloseTo(-1e-3 * Math.sign(slope), 5);
        if (slope === 0) expect(step).toBe(0);
      });
    }
  });

  it("learns which half of the neurons an input opens", () => {
    const inputs = Float32Array.from({ length: 64 * 5 }, (_, i) => Math.sin(7 * i) + Math.cos(3 * i * i));
    const live = Uint8Array.from({ length: 64 * 7 }, (_, i) => {
      const first = Math.floor(i / 7) * 5;
      return inputs[first + ((i % 7) % 5)] > 0.3 ? 1 : 0;
    });
    const weights = createPredictor({ ...shape, rank: 16 }, 2);
    const trainer = new PredictorTrainer(weights, { learningRate: 1e-2, weightDecay: 0.01 });
    const rest = restWeight(live);
    const before = trainer.update(inputs, live, 64, rest);
    for (let i = 0; i < 300; i++) trainer.update(inputs, live, 64, rest);
    const logits = predict(weights, inputs, 64);
    expect(predictorLoss(live, logits, rest)).toBeLessThan(0.2 * before);
    const counts = countPredictions(live, logits);
    expect(recallOf([counts])).toBeGreaterThan(0.97);
    expect(counts.predicted / counts.live).toBeLessThan(1.2);
  });
});

describe("SparseInfer's rule", () => {
  it("skips when negatives outweigh", () => {
    expect(skipsBySigns(5, 3, 100)).toBe(true);
    expect(skipsBySigns(5, 3, 200)).toBe(false);
  });

  it("is counted by signs of products", () => {
    const gate = Float32Array.of(1, 1, 1, -1, -1, 1);
    const counts = countSignRule(Float32Array.of(1, 2, -3), gate, Uint8Array.of(1, 1), 3, 100);
    // Row 0: 2 positive, 1 negative: kept. Row 1: -1, -2, -3: skipped.
    expect(counts).toEqual({ live: 2, predicted: 1, hits: 1, total: 2 });
  });
});
