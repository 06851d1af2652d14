import { expect, it } from "vitest";
import { exactCeiling, exactShare, predictorShare } from "./cost.ts";

const [F7, F13] = [0.65513, 0.66089];

it.each([
  [0.8932, F7, 1.64],
  [0.8811, F7, 1.626],
  [0.888, F13, 1.643],
  [0.8797, F13, 1.633],
  [0.6698, F7, 1.4136],
  [0.7156, F13, 1.461],
])("ceiling at sparsity %f", (sparsity, share, ceiling) => {
  expect(Math.abs(exactCeiling(sparsity, share) - ceiling)).toBeLessThan(1e-3);
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
