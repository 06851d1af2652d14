/** Curves average their neighbours, keep their spread, and stay inside the frame. */
import { expect, test } from "vitest";
import { averages, lineSvg } from "./line-figure.ts";

test("neighbours are averaged and keep their spread", () => {
  const points = [1, 3, 5, 9].map((y, x) => ({ x, y }));
  expect(averages(points, 2)).toEqual([
    { x: 0.5, y: 2, low: 1, high: 3 },
    { x: 2.5, y: 7, low: 5, high: 9 },
  ]);
  expect(averages(points, 4).map(({ y }) => y)).toEqual([1, 3, 5, 9]);
});

test("points stay inside the frame, the first at its left and the last at its right", () => {
  const points = [0.2, 8.8, -3].map((y, x) => ({ x, y }));
  const svg = lineSvg([{ name: "", points, drawn: "dots" }], { title: "t", xLabel: "step" });
  const [xs, ys] = ["cx", "cy"].map((name) =>
    [...svg.matchAll(new RegExp(` ${name}="([^"]+)"`, "g"))].map(([, place]) => Number(place)),
  );
  expect(xs).toEqual([60, 422, 784]);
  for (const y of ys) {
    expect(y).toBeGreaterThanOrEqual(20);
    expect(y).toBeLessThanOrEqual(250);
  }
});

test("several series have a legend, an empty one is left out", () => {
  const points = [{ x: 0, y: 1 }];
  const names = ["a", "b", "empty"].map((name) => ({
    name,
    points: name === "empty" ? [] : points,
    drawn: "dots" as const,
  }));
  const svg = lineSvg(names, { title: "t", xLabel: "step" });
  expect(svg).toContain(">a</text>");
  expect(svg).toContain(">b</text>");
  expect(svg).not.toContain("empty");
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});
