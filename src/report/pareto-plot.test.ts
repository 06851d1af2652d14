/** The front holds what nothing beats, and the plot stands for itself. */
import { expect, test } from "vitest";
import { paretoFront, paretoSvg } from "./pareto-plot.ts";

const POINTS = [
  { name: "whole", cost: 10, quality: 0.8 },
  { name: "less & better", cost: 8, quality: 0.82, marked: true },
  { name: "bad", cost: 9, quality: 0.7 },
  { name: "tiny", cost: 2, quality: 0.5 },
];

test("the front leaves out what is larger and no better", () => {
  expect(paretoFront(POINTS, "higher").map(({ name }) => name)).toEqual(["tiny", "less & better"]);
  expect(paretoFront(POINTS, "lower").map(({ name }) => name)).toEqual(["tiny"]);
});

test("the plot has a point per model and refers to nothing outside", () => {
  const svg = paretoSvg(POINTS, {
    title: "a <b>",
    costLabel: "MB",
    qualityLabel: "accuracy",
    better: "higher",
    level: { value: 1 / 3, label: "chance" },
  });
  expect(svg.match(/<circle/g)).toHaveLength(4);
  expect(svg).toContain("a &lt;b&gt;");
  expect(svg).toContain("less &amp; better: 8, 0.82");
  expect(svg).toContain("chance");
  expect(svg.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/href|http|script|url\(/);
});

test("one point is a plot too", () => {
  expect(
    paretoSvg(POINTS.slice(0, 1), { title: "", costLabel: "", qualityLabel: "", better: "lower" }),
  ).not.toMatch(/NaN/);
});
