/** Names find places of their own near their points. */
import { expect, test } from "vitest";
import { type Box, overlaps, placeLabels } from "./label-placement.ts";

const FRAME = { left: 0, right: 400, top: 0, bottom: 300 };
const SIZE = { width: 60, height: 14 };

function boxOf({ x, y }: { x: number; y: number }): Box {
  return {
    left: x - SIZE.width / 2,
    right: x + SIZE.width / 2,
    top: y - SIZE.height / 2,
    bottom: y + SIZE.height / 2,
  };
}

test("a lone point has its name close to its right, at the right edge to its left", () => {
  const [middle] = placeLabels([{ x: 200, y: 150, ...SIZE }], FRAME, []);
  expect(middle).toEqual({ x: 239, y: 150, far: false });
  const [edge] = placeLabels([{ x: 395, y: 150, ...SIZE }], FRAME, []);
  expect(edge.x).toBeLessThan(395);
  expect(boxOf(edge).left).toBeGreaterThanOrEqual(0);
});

test("names of a crowd neither overlap nor leave the frame", () => {
  const crowd = Array.from({ length: 10 }, (_, i) => ({ x: 200 + 7 * (i % 3), y: 150 + 5 * i, ...SIZE }));
  const boxes = placeLabels(crowd, FRAME, []).map(boxOf);
  for (const [i, box] of boxes.entries()) {
    expect(boxes.slice(i + 1).some((other) => overlaps(box, other))).toBe(false);
    expect([box.left >= 0, box.right <= 400, box.top >= 0, box.bottom <= 300]).not.toContain(false);
  }
});

test("a line beside the point moves the name off it", () => {
  const line = [
    { x: 200, y: 150 },
    { x: 400, y: 150 },
  ] as const;
  const [label] = placeLabels([{ x: 200, y: 150, ...SIZE }], FRAME, [line]);
  const box = boxOf(label);
  expect(box.bottom < 150 || box.top > 150 || box.right < 200).toBe(true);
});
