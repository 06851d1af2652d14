import { expect, it } from "vitest";
import { exactCeiling, exactShare, predictorCeiling, predictorShare } from "./cost.ts";

const [F7, F13] = [0.65513, 0.66089];

it.each([
  [0.8932, 0.7875, F7, 0.0749, 1.64, 1.789],
  [0.8811, 0.7524, F7, 0.0749, 1.626, 1.718],
  [0.888, 0.7828, F13, 0.0604, 1.643, 1.842],
  [0.8797, 0.7793, F13, 0.0604, 1.633, 1.834],
  [0.6698, 0.5895, F7, 0.0749, 1.4136, 1.452],
  [0.7156, 0.7193, F13, 0.0604, 1.461, 1.709],
])("ceilings at sparsity %f, predicted %f", (sparsity, predicted, share, predictor, exact, withPredictor) => {
  expect(Math.abs(exactCeiling(sparsity, share) - exact)).toBeLessThan(1e-3);
  expect(Math.abs(predictorCeiling(predicted, share, predictor) - withPredictor)).toBeLessThan(1e-3);
});

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
