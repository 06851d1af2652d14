/** The worked vector of the specification: scores with exponentials 1, 2, 3, e^5, 4 over five positions. */
import { expect, it } from "vitest";
import { attention } from "./reference.ts";

const SCORES = [0, Math.log(2), Math.log(3), 5, Math.log(4)];
const VALUES = [
  [1, 0],
  [0, 1],
  [2, 2],
  [9, 9],
  [4, 0],
];

function attend(...positions: readonly number[]): Float32Array {
  const cache = {
    keys: Float32Array.from(SCORES.flatMap((score) => [score, 0])),
    values: Float32Array.from(VALUES.flat()),
    contextLength: 5,
    width: 2,
    headWidth: 2,
  };
  const out = new Float32Array(2);
  const shape = { heads: 1, kvHeads: 1, headWidth: 2, scale: 1, window: undefined };
  const visible = positions.map((start) => ({ start, end: start + 1 }));
  attention(out, Float32Array.of(1, 0), cache, shape, { t: 0, slotRow: 0, position: 4, visible });
  return out;
}

it("weighs the visible positions alone", () => {
  const [x, y] = attend(0, 1, 4);
  expect(x).toBeCloseTo(2.428571, 6);
  expect(y).toBeCloseTo(0.285714, 6);
  // Sum 10: (1 + 6 + 16) / 10 and (2 + 6) / 10.
  const [a, b] = attend(0, 1, 2, 4);
  expect(a).toBeCloseTo(2.3, 6);
  expect(b).toBeCloseTo(0.8, 6);
  const [p, q] = attend(0, 1, 2, 3, 4);
  expect(p).toBeCloseTo(8.577055, 5);
  expect(q).toBeCloseTo(8.482366, 5);
});
