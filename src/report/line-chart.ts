/**
 * Curves over training steps as SVG to stand inside an HTML page: a line per series, the spread of what it averages as a
 * band, dots for single measurements. Colours are CSS variables of the page, so light and dark need one drawing.
 * Invariant: no script, no reference to anything outside the text; every number of a curve fits the frame.
 */
import { escapeText } from "./pareto-plot.ts";

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

/** Averages that a line has at most: about one per two pixels. */
const MOST_AVERAGES = 300;
const [WIDTH, HEIGHT] = [640, 260];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 16, 16, 40];
const TICKS = 5;

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

/** Round numbers from at or below `low` to at or above `high`, about `count` of them. */
export function roundTicks(low: number, high: number, count = TICKS): number[] {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough) ?? rough;
  const first = Math.floor(low / unit);
  const last = Math.max(Math.ceil(high / unit), first + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * unit).toPrecision(12)));
}

/** The chart; series without points are left out, and there must be one with points. */
export function lineChartSvg(title: string, series: readonly Series[]): string {
  const shown = series.filter(({ points }) => points.length > 0);
  const curves = shown.map((one) => ({
    ...one,
    values: averages(one.points, one.drawn === "dots" ? one.points.length : MOST_AVERAGES),
  }));
  const all = curves.flatMap(({ values }) => values);
  const lowest = (key: "x" | "low") => all.reduce((least, value) => Math.min(least, value[key]), Infinity);
  const highest = (key: "x" | "high") => all.reduce((most, value) => Math.max(most, value[key]), -Infinity);
  const xTicks = roundTicks(Math.min(0, lowest("x")), highest("x"));
  const yTicks = roundTicks(lowest("low"), highest("high"));
  const x = scale(xTicks[0], Math.max(highest("x"), xTicks[1]), LEFT, WIDTH - RIGHT);
  const y = scale(yTicks[0], yTicks[yTicks.length - 1], HEIGHT - BOTTOM, TOP);
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(title)}">`,
    ...grid(xTicks, yTicks, x, y),
    ...curves.flatMap(({ name, drawn, values }, i) => drawCurve(name, drawn, values, i, x, y)),
    "</svg>",
  ].join("\n");
}

type Scale = (value: number) => number;

function grid(xTicks: readonly number[], yTicks: readonly number[], x: Scale, y: Scale): string[] {
  return [
    ...yTicks.map(
      (tick) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/>` +
        `<text x="${LEFT - 8}" y="${y(tick) + 4}" text-anchor="end">${formatTick(tick)}</text>`,
    ),
    ...xTicks
      .filter((tick) => x(tick) <= WIDTH - RIGHT)
      .map(
        (tick) =>
          `<text x="${x(tick)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${formatTick(tick)}</text>`,
      ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">step</text>`,
  ];
}

function drawCurve(
  name: string,
  drawn: Series["drawn"],
  values: readonly Average[],
  index: number,
  x: Scale,
  y: Scale,
): string[] {
  const along = (points: readonly Point[]) => points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ");
  const line = `<polyline class="line s${index}" points="${along(values)}"><title>${escapeText(name)}</title></polyline>`;
  if (drawn === "dots") {
    const dots = values.map(
      (value) =>
        `<circle class="dot s${index}" cx="${x(value.x)}" cy="${y(value.y)}" r="3"><title>${escapeText(`${name}, step ${value.x}: ${formatTick(value.y)}`)}</title></circle>`,
    );
    return [line, ...dots];
  }
  const edge = [
    ...values.map(({ x, high }) => ({ x, y: high })),
    ...values.toReversed().map(({ x, low }) => ({ x, y: low })),
  ];
  return [`<polygon class="band s${index}" points="${along(edge)}"/>`, line];
}

/** Place of a value, to a tenth. */
function scale(low: number, high: number, from: number, to: number): Scale {
  return (value) => Math.round(10 * (from + ((value - low) / (high - low)) * (to - from))) / 10;
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
