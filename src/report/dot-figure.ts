/**
 * Named lines with a dot per series along one axis, in groups: ratios within a run, bytes, accuracies. A bar
 * instead of a dot is what was promised or allowed rather than measured.
 */
import * as Plot from "@observablehq/plot";
import {
  axisX,
  BAR,
  drawPlot,
  FAINT,
  FONT_SIZE,
  GRID,
  HALO,
  layOutLegend,
  seriesColour,
  textWidth,
} from "./plot-svg.ts";

export interface DotSeries {
  readonly name: string;
  readonly symbol: "dot" | "ring" | "bar";
}

export interface DotLine {
  readonly name: string;
  /** A value per series, undefined where there is none. */
  readonly values: readonly (number | undefined)[];
}

export interface DotGroup {
  /** Its heading; none where empty. */
  readonly name: string;
  readonly lines: readonly DotLine[];
}

export interface DotOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly DotSeries[];
  /** A value to compare with, drawn across all lines. */
  readonly rule?: number;
  /** Ends of the axis; from 0 to the greatest value where absent. */
  readonly domain?: readonly [number, number];
  readonly format: (value: number) => string;
}

const WIDTH = 800;
const LINE_HEIGHT = 22;
const [RIGHT, BOTTOM] = [64, 44];

interface Mark {
  readonly key: string;
  readonly value: number;
  readonly title: string;
}

/** A line and its place on the vertical axis. */
interface KeyedLine extends DotLine {
  readonly key: string;
}

/** The drawing; there must be a line. */
export function dotSvg(groups: readonly DotGroup[], options: DotOptions): string {
  // Every line and every group's heading has a place of its own on the vertical axis.
  const keys = groups.flatMap((group, g) => [
    ...(group.name === "" ? [] : [`${g}`]),
    ...group.lines.map((_, i) => `${g}/${i}`),
  ]);
  const lines = groups.flatMap(({ lines }, g) => lines.map((line, i) => ({ ...line, key: `${g}/${i}` })));
  const headings = groups.map(({ name }, g) => ({ key: `${g}`, name })).filter(({ name }) => name !== "");
  const marginLeft = Math.min(330, 24 + Math.max(...lines.map(({ name }) => textWidth(name))));
  const values = lines.flatMap(({ values }) => values.filter((value) => value !== undefined));
  const legend = layOutLegend(
    options.series.map(({ name, symbol }, s) => ({ text: name, colour: seriesColour(s), symbol })),
    24 - marginLeft,
    WIDTH,
  );
  return drawPlot(options.title, {
    width: WIDTH,
    height: legend.marginTop + BOTTOM + keys.length * LINE_HEIGHT,
    marginLeft,
    marginRight: RIGHT,
    marginTop: legend.marginTop,
    marginBottom: BOTTOM,
    x: { domain: options.domain ?? domainOf(values, options) },
    y: { type: "band", domain: keys, axis: null },
    marks: [
      Plot.gridX({ stroke: GRID, strokeOpacity: 1 }),
      axisX(options.xLabel, {
        ticks: 6,
        tickFormat: (value: number) => String(Number(value.toPrecision(3))),
      }),
      ...(options.rule === undefined
        ? []
        : [Plot.ruleX([options.rule], { stroke: FAINT, strokeWidth: 1.2 })]),
      ...nameMarks(headings, lines, marginLeft),
      ...options.series.flatMap((series, s) => seriesMarks(series, s, marksOf(lines, series, s, options))),
      firstValues(lines, options),
      ...legend.marks,
    ],
  });
}

/** Headings of groups at the left edge, names of lines up to the frame. */
function nameMarks(
  headings: readonly { readonly key: string; readonly name: string }[],
  lines: readonly KeyedLine[],
  marginLeft: number,
): Plot.Markish[] {
  const place = { y: "key", text: "name", frameAnchor: "left" } as const;
  return [
    Plot.text(headings, { ...place, textAnchor: "start", dx: -marginLeft, dy: 3, fontWeight: 600, ...HALO }),
    Plot.text(lines, { ...place, textAnchor: "end", dx: -10, fill: "var(--text)" }),
  ];
}

/** What the first series has, as numbers beside the frame. */
function firstValues(lines: readonly KeyedLine[], { format }: DotOptions): Plot.Markish {
  return Plot.text(lines, {
    y: "key",
    frameAnchor: "right",
    textAnchor: "end",
    dx: RIGHT - 4,
    text: ({ values: [value] }: KeyedLine) => (value === undefined ? "" : format(value)),
    fill: seriesColour(0),
    fontSize: FONT_SIZE - 1,
  });
}

function marksOf(
  lines: readonly KeyedLine[],
  series: DotSeries,
  index: number,
  { format }: DotOptions,
): Mark[] {
  return lines.flatMap(({ key, name, values }) => {
    const value = values[index];
    return value === undefined ? [] : [{ key, value, title: `${name}, ${series.name}: ${format(value)}` }];
  });
}

function seriesMarks({ symbol }: DotSeries, index: number, marks: readonly Mark[]): Plot.Markish[] {
  const place = { x: "value", y: "key", title: "title" } as const;
  const colour = seriesColour(index);
  if (symbol === "bar") return [Plot.dot(marks, { ...place, symbol: BAR, fill: colour, r: 7 })];
  if (symbol === "ring") return [Plot.dot(marks, { ...place, stroke: colour, strokeWidth: 2, r: 4.5 })];
  return [Plot.dot(marks, { ...place, fill: colour, r: 5 })];
}

function domainOf(values: readonly number[], { rule }: DotOptions): [number, number] {
  return [0, 1.05 * Math.max(...values, rule ?? 0)];
}
