/**
 * Observable Plot without a browser: one plot as SVG text, drawn in linkedom's document. Colours are the CSS variables of
 * page.ts, so that one drawing serves light and dark.
 * Invariant: no script, no style, no reference to anything outside the text.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeText } from "./page.ts";

/** Colours of series, in the order they are dealt out; page.ts gives them values. */
export const SERIES_COLOURS = ["var(--s0)", "var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)"];
export const FAINT = "var(--faint)";
export const GRID = "var(--grid)";

/** Height of letters, and their mean width where nothing can be measured: generous, so that labels keep their distance. */
export const FONT_SIZE = 12;
const LETTER_WIDTH = 0.56 * FONT_SIZE;

/** Text that may cross lines. */
export const HALO = { fill: "var(--text)", stroke: "var(--back)", strokeWidth: 4 } as const;

export function textWidth(text: string): number {
  return text.length * LETTER_WIDTH;
}

/** One entry of a legend: how it looks in the plot. */
export interface LegendEntry {
  readonly text: string;
  readonly colour: string;
  readonly symbol: "dot" | "ring" | "bar" | "line";
}

/** The SVG element of a plot; `title` is what a screen reader says. */
export function drawPlot(title: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({ ...options, document, className: "plot", style: { fontSize: `${FONT_SIZE}px` } });
  // Plot's own rules are part of the page's style.
  svg.querySelector("style")?.remove();
  const drawn = svg.outerHTML.replaceAll(/="[^"]*"/g, (attribute) =>
    attribute.replaceAll(/\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2)))),
  );
  // linkedom leaves < in attributes as it is, which XML forbids.
  return drawn.replace(/^<svg/, () => `<svg role="img" aria-label="${escapeText(title)}"`);
}

/** Margins above the frame: legend and name of the vertical axis. */
const [LEGEND_TOP, AXIS_NAME_TOP] = [34, 14];
export const HEAD_MARGIN = 50;

/** The name of the vertical axis, above it. */
export function axisName(text: string, marginLeft: number): Plot.Markish {
  const place = { frameAnchor: "top-left", textAnchor: "start", lineAnchor: "middle" } as const;
  return Plot.text([text], { ...place, dx: 6 - marginLeft, dy: -AXIS_NAME_TOP, fill: FAINT });
}

/** Entries from left to right above the frame, from `start` beside its edge on. */
export function legendMarks(entries: readonly LegendEntry[], start: number): Plot.Markish[] {
  let left = start;
  return entries.flatMap(({ text, colour, symbol }) => {
    const place = { frameAnchor: "top-left", dy: -LEGEND_TOP } as const;
    const dx = left + 6;
    left += textWidth(text) + 30;
    const key = Plot.dot([0], {
      ...place,
      dx,
      r: 5,
      ...(symbol === "ring" ? { stroke: colour, strokeWidth: 1.6 } : { fill: colour }),
      ...(symbol === "bar" ? { symbol: BAR } : symbol === "line" ? { symbol: DASH } : {}),
    });
    const label = Plot.text([text], { ...place, dx: dx + 11, textAnchor: "start", lineAnchor: "middle" });
    return [key, label];
  });
}

/** A short vertical bar, for bounds and levels. */
export const BAR = {
  draw(context: Pick<CanvasPath, "rect">, size: number): void {
    const height = Math.sqrt(size) * 1.1;
    context.rect(-1.25, -height / 2, 2.5, height);
  },
};

const DASH = {
  draw(context: Pick<CanvasPath, "rect">): void {
    context.rect(-7, -1, 14, 2);
  },
};
