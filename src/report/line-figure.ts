/**
 * Curves over training steps or layers: a line per series, the spread of what it averages as a band, dots for
 * single measurements. Invariant: every number of a curve fits the frame, and long curves stay small.
 */
import * as Plot from "@observablehq/plot";
import { axisX, axisName, drawPlot, GRID, layOutLegend, seriesColour } from "./plot-svg.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** A line of averages with their spread, or a dot per point joined by a thin line. */
  readonly drawn: "average" | "dots";
}

export interface LineOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel?: string;
  /** Ends of the vertical axis, or that it starts at 0; those of the values where absent. */
  readonly yDomain?: readonly [number, number] | "zero";
  /** Whole numbers only along the horizontal axis. */
  readonly countsAlong?: boolean;
}

/** Averages that a line has at most: about one per two pixels. */
const MOST_AVERAGES = 300;
const [WIDTH, FRAME_HEIGHT, LEFT, BOTTOM] = [800, 230, 60, 42];
/** Room above a frame with neither legend nor name of the axis. */
const BARE_TOP = 20;

interface Average extends Point {
  readonly low: number;
  readonly high: number;
}

/** Means of runs of neighbouring points, with their extremes; the points themselves when there are few. */
export function averages(points: readonly Point[], most = MOST_AVERAGES): Average[] {
  const size = Math.ceil(points.length / most);
  return Array.from({ length: Math.ceil(points.length / Math.max(size, 1)) }, (_, i) => {
    const run = points.slice(i * size, (i + 1) * size);
    const [xs, ys] = [run.map(({ x }) => x), run.map(({ y }) => y)];
    return { x: mean(xs), y: mean(ys), low: Math.min(...ys), high: Math.max(...ys) };
  });
}

/** The chart; series without points are left out, and there must be one with points. */
export function lineSvg(series: readonly Series[], options: LineOptions): string {
  const shown = series
    .filter(({ points }) => points.length > 0)
    .map((one, i) => ({ ...one, colour: seriesColour(i) }));
  const entries = shown.map(({ name, colour, drawn }) => ({
    text: name,
    colour,
    symbol: drawn === "dots" ? ("dot" as const) : ("line" as const),
  }));
  const legend = layOutLegend(shown.length > 1 ? entries : [], 0, WIDTH - LEFT);
  const marginTop = shown.length > 1 || options.yLabel !== undefined ? legend.marginTop : BARE_TOP;
  const ends = extent(shown.flatMap(({ points }) => points.map(({ x }) => x)));
  return drawPlot(options.title, {
    width: WIDTH,
    height: marginTop + FRAME_HEIGHT + BOTTOM,
    marginLeft: LEFT,
    marginRight: 16,
    marginTop,
    marginBottom: BOTTOM,
    x: { domain: ends },
    y: yScale(options),
    marks: [
      Plot.gridY({ stroke: GRID, strokeOpacity: 1 }),
      axisX(options.xLabel, {
        ...(options.countsAlong === true ? { interval: 1, tickFormat: "d" } : { ticks: 8 }),
      }),
      Plot.axisY({ tickSize: 0, label: null, tickFormat: formatTick }),
      ...(options.yLabel === undefined ? [] : [axisName(options.yLabel, LEFT)]),
      ...shown.flatMap((one) => curveMarks(one, options)),
      ...legend.marks,
    ],
  });
}

function curveMarks({ name, points, drawn, colour }: Series & { colour: string }, options: LineOptions) {
  if (drawn === "dots") {
    return [
      Plot.line(points, { x: "x", y: "y", stroke: colour, strokeWidth: 1.2 }),
      Plot.dot(points, {
        x: "x",
        y: "y",
        r: 3.5,
        fill: colour,
        title: ({ x, y }: Point) => `${name}, ${options.xLabel} ${x}: ${formatTick(y)}`,
      }),
    ];
  }
  const values = averages(points);
  return [
    Plot.areaY(values, { x: "x", y1: "low", y2: "high", fill: colour, fillOpacity: 0.22 }),
    Plot.line(values, { x: "x", y: "y", stroke: colour, strokeWidth: 1.6 }),
  ];
}

function yScale({ yDomain }: LineOptions): Plot.ScaleOptions {
  if (yDomain === undefined) return { nice: true };
  return yDomain === "zero" ? { nice: true, zero: true } : { domain: yDomain };
}

/** Ends of the values; a single value has room on both sides. */
function extent(values: readonly number[]): [number, number] {
  const least = values.reduce((low, value) => Math.min(low, value), Infinity);
  const most = values.reduce((high, value) => Math.max(high, value), -Infinity);
  return least === most ? [least - 1, most + 1] : [least, most];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function formatTick(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))} M`;
  if (size !== 0 && size < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}
