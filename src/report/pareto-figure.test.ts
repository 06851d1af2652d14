/** The front holds what nothing beats, and the plot shows every point and names it. */
import { expect, test } from "vitest";
import { standaloneSvg } from "./page.ts";
import { paretoFront, paretoSvg } from "./pareto-figure.ts";

const POINTS = [
  { name: "whole", cost: 10, quality: 0.8 },
  { name: "less & better", cost: 8, quality: 0.82, ring: "chosen" },
  { name: "bad", cost: 9, quality: 0.7 },
  { name: "tiny", cost: 2, quality: 0.5 },
];

test("the front leaves out what is larger and no better", () => {
  expect(paretoFront(POINTS, "higher").map(({ name }) => name)).toEqual(["tiny", "less & better"]);
  expect(paretoFront(POINTS, "lower").map(({ name }) => name)).toEqual(["tiny"]);
});

test("the plot has a point per model and refers to nothing outside", () => {
  const svg = standaloneSvg(
    paretoSvg(POINTS, {
      title: "a <b>",
      costLabel: "MB",
      qualityLabel: "accuracy",
      better: "higher",
      level: { value: 1 / 3, label: "chance" },
    }),
  );
  // Four points and the ring of the legend.
  expect(svg.match(/<circle/g)).toHaveLength(5);
  expect(svg).toContain('aria-label="a &lt;b&gt;"');
  expect(svg).toContain("<title>less &amp; better: 8, 0.82</title>");
  for (const text of ["whole", "bad", "tiny", "chosen", "chance"]) expect(svg).toContain(`>${text}</text>`);
  expect(svg).not.toMatch(/NaN|undefined/);
  expect(svg.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/href|http|script|url\(/);
});

test("names may be those of the front only", () => {
  const options = { title: "", costLabel: "", qualityLabel: "", better: "higher", names: "front" } as const;
  const svg = paretoSvg(POINTS, options);
  expect(svg).toContain(">tiny</text>");
  expect(svg).not.toContain(">bad</text>");
});

test("series beyond the last colour share one with the first, in the legend as in the plot", () => {
  const points = Array.from({ length: 9 }, (_, i) => ({
    name: `m${i}`,
    cost: i,
    quality: i % 2,
    series: `s${i}`,
  }));
  const svg = paretoSvg(points, { title: "", costLabel: "", qualityLabel: "", better: "higher" });
  // The points of the first and the ninth series and their legend entries.
  expect(svg.match(/fill="var\(--s0\)"/g)).toHaveLength(4);
  expect(svg.match(/fill="var\(--s1\)"/g)).toHaveLength(2);
  expect(svg).not.toMatch(/undefined/);
});

test("one point is a plot too", () => {
  expect(
    paretoSvg(POINTS.slice(0, 1), { title: "", costLabel: "", qualityLabel: "", better: "lower" }),
  ).not.toMatch(/NaN/);
});
