import { expect, it } from "vitest";
import {
  exactCeiling,
  exactShare,
  oracleCeiling,
  paperSparsity,
  predictorCeiling,
  predictorShare,
  unionShare,
} from "./cost.ts";

const [F7, F13] = [0.65513, 0.66089];

it.each([
  [0.8932, 0.7875, F7, 0.0749, 1.64, 1.789, 2.411],
  [0.8811, 0.7524, F7, 0.0749, 1.626, 1.718, 2.365],
  [0.888, 0.7828, F13, 0.0604, 1.643, 1.842, 2.421],
  [0.8797, 0.7793, F13, 0.0604, 1.633, 1.834, 2.389],
  [0.6698, 0.5895, F7, 0.0749, 1.4136, 1.452, 1.782],
  [0.7156, 0.7193, F13, 0.0604, 1.461, 1.709, 1.897],
])(
  "ceilings at sparsity %f, predicted %f",
  (sparsity, predicted, share, predictor, exact, withPredictor, oracle) => {
    expect(Math.abs(exactCeiling(sparsity, share) - exact)).toBeLessThan(1e-3);
    expect(Math.abs(predictorCeiling(predicted, share, predictor) - withPredictor)).toBeLessThan(1e-3);
    expect(Math.abs(oracleCeiling(sparsity, share) - oracle)).toBeLessThan(1e-3);
  },
);

it("counts the bytes of a 7B layer", () => {
  const dense = 3 * 2 * 4096 * 11_008;
  const share = exactShare(1 - 1176 / 11_008);
  expect(dense).toBe(270_532_608);
  expect(Math.round(share * dense)).toBe(109_445_120);
  expect(share).toBeCloseTo(0.404554, 6);
  expect(1 / exactShare(0.8932)).toBeCloseTo(2.472, 3);
});

it("counts a predictor of rank 1024 beside the neurons it chooses", () => {
  const share = predictorShare(0.7875, { rank: 1024, width: 4096, neurons: 11_008 });
  expect(share).toBeCloseTo(0.2125 + (1024 * 15_104) / (3 * 4096 * 11_008), 12);
  // Of all bytes of the 7B model these are the ceiling's.
  expect(1 / (1 - F7 * (1 - share))).toBeCloseTo(1.789, 2);
});

it.each([
  [1, 0.1068],
  [2, 0.2022],
  [4, 0.3635],
  [8, 0.5949],
  [16, 0.8359],
  [32, 0.9731],
])("%i independent tokens need %f of the neurons", (batch, share) => {
  expect(unionShare(0.8932, batch)).toBeCloseTo(share, 4);
});

it.each([
  [0.01, 78.93],
  [0.02, 80.98],
  [0.05, 83.99],
  [0.1, 86.43],
  [0.2, 88.93],
  [0.5, 92.15],
])("the paper's 7B model reaches, at a last factor of %f, %f %% zeros", (peak, percent) => {
  expect(100 * paperSparsity(peak)).toBeCloseTo(percent, 2);
});
