/**
 * A plot of quality against cost: a point per model, a line along those that nothing else beats,
 * names beside the points.
 */
import * as Plot from "@observablehq/plot";
import { type Box, type Place, placeLabels } from "./label-placement.ts";
import {
  axisX,
  axisName,
  drawPlot,
  FAINT,
  FONT_SIZE,
  GRID,
  HALO,
  type LegendEntry,
  layOutLegend,
  seriesColour,
  textWidth,
} from "./plot-svg.ts";

export interface ParetoPoint {
  readonly name: string;
  /** Horizontal: less is better. */
  readonly cost: number;
  /** Vertical. */
  readonly quality: number;
  /** Which colour; names are in the legend where there are several. */
  readonly series?: string;
  /** Drawn as a ring: not what runs, or what is chosen among the others. */
  readonly ring?: string;
}

export interface ParetoOptions {
  readonly title: string;
  readonly costLabel: string;
  readonly qualityLabel: string;
  /** Whether more or less quality is better. */
  readonly better: "higher" | "lower";
  /** A level drawn across, such as chance. */
  readonly level?: { readonly value: number; readonly label: string } | undefined;
  /** Names of all points, or of those on the front only. */
  readonly names?: "all" | "front";
}

const [WIDTH, FRAME_HEIGHT] = [800, 364];
const [LEFT, RIGHT, BOTTOM] = [60, 20, 46];

/** Points that no other point beats on both axes, by ascending cost. */
export function paretoFront(points: readonly ParetoPoint[], better: "higher" | "lower"): ParetoPoint[] {
  const sign = better === "higher" ? 1 : -1;
  const sorted = points.toSorted((a, b) => a.cost - b.cost || sign * (b.quality - a.quality));
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ quality }) => {
    if (sign * quality <= best) return false;
    best = sign * quality;
    return true;
  });
}

/** The plot; `points` must not be empty. */
export function paretoSvg(points: readonly ParetoPoint[], options: ParetoOptions): string {
  const front = paretoFront(points, options.better);
  const series = [...new Set(points.map((point) => point.series ?? ""))];
  const colour = (point: ParetoPoint) => seriesColour(series.indexOf(point.series ?? ""));
  const levels = options.level === undefined ? [] : [options.level.value];
  const x = { domain: paddedDomain(points.map(({ cost }) => cost)), label: null };
  const y = {
    domain: paddedDomain([...points.map(({ quality }) => quality), ...levels]),
    label: null,
  };
  const legend = layOutLegend(legendOf(points, series, front.length > 1), 0, WIDTH - LEFT);
  const frame = {
    left: LEFT,
    right: WIDTH - RIGHT,
    top: legend.marginTop,
    bottom: legend.marginTop + FRAME_HEIGHT,
  };
  const named = options.names === "front" ? front : points;
  return drawPlot(options.title, {
    width: WIDTH,
    height: frame.bottom + BOTTOM,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: frame.top,
    marginBottom: BOTTOM,
    x,
    y,
    marks: [
      Plot.gridY({ stroke: GRID, strokeOpacity: 1 }),
      axisX(options.costLabel),
      Plot.axisY({ tickSize: 0, label: null }),
      axisName(options.qualityLabel, LEFT),
      ...levelMarks(options),
      Plot.line(front, {
        x: "cost",
        y: "quality",
        stroke: frontColour(series),
        strokeWidth: 1.5,
      }),
      ...points.map((point) =>
        Plot.dot([point], {
          x: "cost",
          y: "quality",
          r: 5,
          ...(point.ring === undefined
            ? { fill: colour(point) }
            : { stroke: colour(point), fill: "var(--back)", strokeWidth: 2 }),
          title: () => `${point.name}: ${round(point.cost)}, ${round(point.quality)}`,
        }),
      ),
      ...nameMarks(named, front, frame, x.domain, y.domain),
      ...legend.marks,
    ],
  });
}

function legendOf(points: readonly ParetoPoint[], series: readonly string[], line: boolean): LegendEntry[] {
  const rings = [...new Set(points.flatMap(({ ring }) => ring ?? []))];
  return [
    ...(series.length > 1
      ? series.map((text, i) => ({ text, colour: seriesColour(i), symbol: "dot" as const }))
      : []),
    ...rings.map((text) => ({
      text,
      colour: frontColour(series),
      symbol: "ring" as const,
    })),
    ...(line ? [{ text: "nothing beats these", colour: frontColour(series), symbol: "line" as const }] : []),
  ];
}

/** Of what belongs to no series in particular. */
function frontColour(series: readonly string[]): string {
  return series.length > 1 ? FAINT : seriesColour(0);
}

/** The names, each joined to its point where it had to go far. */
function nameMarks(
  named: readonly ParetoPoint[],
  front: readonly ParetoPoint[],
  frame: Box,
  xDomain: readonly [number, number],
  yDomain: readonly [number, number],
): Plot.Markish[] {
  const at = ({ cost, quality }: ParetoPoint): Place => ({
    x: frame.left + ((cost - xDomain[0]) / (xDomain[1] - xDomain[0])) * (frame.right - frame.left),
    y: frame.bottom - ((quality - yDomain[0]) / (yDomain[1] - yDomain[0])) * (frame.bottom - frame.top),
  });
  const lines = front.slice(1).map((point, i): [Place, Place] => [at(front[i]), at(point)]);
  const requests = named.map((point) => ({
    ...at(point),
    width: textWidth(point.name),
    height: FONT_SIZE + 3,
  }));
  return placeLabels(requests, { ...frame, right: WIDTH - 4 }, lines).flatMap((label, i) => {
    const [dx, dy] = [label.x - requests[i].x, label.y - requests[i].y];
    const text = Plot.text([named[i]], { x: "cost", y: "quality", text: "name", dx, dy, ...HALO });
    if (!label.far) return [text];
    const { width, height } = requests[i];
    // The vector starts at the point and ends at the edge of the name.
    const share = 1 - Math.min(width / 2 / Math.abs(dx), height / 2 / Math.abs(dy), 1);
    const joint = Plot.vector([named[i]], {
      x: "cost",
      y: "quality",
      anchor: "start",
      shape: STROKE,
      length: share * Math.hypot(dx, dy),
      rotate: (Math.atan2(dx, -dy) * 180) / Math.PI,
      stroke: FAINT,
      strokeWidth: 0.7,
    });
    return [joint, text];
  });
}

function levelMarks({ level }: ParetoOptions): Plot.Markish[] {
  if (level === undefined) return [];
  return [
    Plot.ruleY([level.value], { stroke: FAINT, strokeDasharray: "4 4" }),
    Plot.text([level.label], {
      y: () => level.value,
      frameAnchor: "left",
      textAnchor: "start",
      dx: 4,
      dy: -8,
      fill: FAINT,
    }),
  ];
}

/** A line from a point to its name; the vector turns it. */
const STROKE = {
  draw(context: Pick<CanvasPath, "moveTo" | "lineTo">, length: number): void {
    context.moveTo(0, 0);
    context.lineTo(0, -length);
  },
};

/** A little beyond the values, and from 0 where that leaves them most of the room. */
function paddedDomain(values: readonly number[]): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = (most - least) * 0.07 || Math.abs(most) * 0.1 || 1;
  return [least > 0 && least < 0.4 * most ? 0 : least - margin, most + margin];
}

function round(value: number): string {
  return String(Number(value.toPrecision(4)));
}
