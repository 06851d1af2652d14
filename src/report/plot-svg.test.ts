/** Legends keep within their width, and drawings carry their title. */
import { expect, test } from "vitest";
import { drawPlot, layOutLegend } from "./plot-svg.ts";

const ENTRIES = Array.from({ length: 5 }, (_, i) => ({
  text: `a series of long name ${i}`,
  colour: "var(--s0)",
  symbol: "dot" as const,
}));

test("a legend takes as many lines as it needs, and room for them", () => {
  expect(layOutLegend(ENTRIES.slice(0, 2), 0, 800).marginTop).toBe(52);
  // Each entry is about 190 wide.
  expect(layOutLegend(ENTRIES, 0, 400).marginTop).toBe(88);
  expect(layOutLegend(ENTRIES, 0, 400).marks).toHaveLength(10);
  expect(layOutLegend([], 0, 400)).toEqual({ marks: [], marginTop: 52 });
});

test("a title may hold what markup forbids", () => {
  const svg = drawPlot('5 < 6 & "7"', { x: { domain: [0, 1] }, marks: [] });
  expect(svg).toMatch(/^<svg role="img" aria-label="5 &lt; 6 &amp; &quot;7&quot;"/);
});
