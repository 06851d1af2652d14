/**
 * Observable Plot without a browser: one plot as SVG text, drawn in linkedom's document. Colours are the CSS
 * variables of page.ts, so that one drawing serves light and dark.
 * Invariant: no script, no style, no reference to anything outside the text.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeText } from "./page.ts";

/** Colours of series, in the order they are dealt out; page.ts gives them values. */
const SERIES_COLOURS = Array.from({ length: 8 }, (_, i) => `var(--s${i})`);
export const FAINT = "var(--faint)";
export const GRID = "var(--grid)";

/**
 * Height of letters, and their mean width where nothing can be measured: generous,
 * so that labels keep their distance.
 */
export const FONT_SIZE = 12;
const LETTER_WIDTH = 0.56 * FONT_SIZE;

/** Text that may cross lines. */
export const HALO = { fill: "var(--text)", stroke: "var(--back)", strokeWidth: 4 } as const;

/** The colour of the series at `index`; with more series than colours they are dealt out again. */
export function seriesColour(index: number): string {
  return SERIES_COLOURS[index % SERIES_COLOURS.length];
}

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

/** Distances above the frame: the legend's lowest line, the name of the vertical axis. */
const [LEGEND_TOP, AXIS_NAME_TOP] = [34, 14];
const LEGEND_LINE = 18;

/** The name of the vertical axis, above it. */
export function axisName(text: string, marginLeft: number): Plot.Markish {
  const place = { frameAnchor: "top-left", textAnchor: "start", lineAnchor: "middle" } as const;
  return Plot.text([text], { ...place, dx: 6 - marginLeft, dy: -AXIS_NAME_TOP, fill: FAINT });
}

/** The horizontal axis with its name below it. */
export function axisX(name: string, ticks: Plot.AxisXOptions = {}): Plot.Markish {
  return Plot.axisX({
    tickSize: 0,
    label: name,
    labelAnchor: "center",
    labelArrow: "none",
    labelOffset: 36,
    ...ticks,
  });
}

export interface Legend {
  readonly marks: readonly Plot.Markish[];
  /** Room that it and the vertical axis' name take above the frame. */
  readonly marginTop: number;
}

/**
 * Entries from left to right above the frame, from `start` beside its edge on, in lines of at most `width`.
 */
export function layOutLegend(entries: readonly LegendEntry[], start: number, width: number): Legend {
  const lines: { entry: LegendEntry; left: number }[][] = [];
  let right = Infinity;
  for (const entry of entries) {
    const needed = textWidth(entry.text) + 30;
    if (right + needed > width) {
      lines.push([]);
      right = 0;
    }
    lines[lines.length - 1].push({ entry, left: start + right });
    right += needed;
  }
  const marks = lines.flatMap((line, i) =>
    line.flatMap(({ entry, left }) =>
      entryMarks(entry, left, LEGEND_TOP + LEGEND_LINE * (lines.length - 1 - i)),
    ),
  );
  return { marks, marginTop: LEGEND_TOP + LEGEND_LINE * Math.max(lines.length, 1) };
}

function entryMarks({ text, colour, symbol }: LegendEntry, left: number, top: number): Plot.Markish[] {
  const place = { frameAnchor: "top-left", dy: -top } as const;
  const key = Plot.dot([0], {
    ...place,
    dx: left + 6,
    r: 5,
    ...(symbol === "ring" ? { stroke: colour, strokeWidth: 1.6 } : { fill: colour }),
    ...(symbol === "bar" ? { symbol: BAR } : symbol === "line" ? { symbol: DASH } : {}),
  });
  const label = Plot.text([text], { ...place, dx: left + 17, textAnchor: "start", lineAnchor: "middle" });
  return [key, label];
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
