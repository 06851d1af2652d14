/**
 * Perplexity against simulated speed and against memory: a line per policy,
 * gamma and DRAM size, over densities.
 * Invariant: axes say what is simulated; what lies far beyond
 * the dense model's perplexity is left out and counted.
 */
import { lineSvg } from "../line-figure.ts";
import type { ResultRow, ResultRows } from "../result-rows.ts";
import { cacheName, type Figure, groupBy, megabytes, numbered } from "./figure.ts";

export interface QualityPoint {
  readonly method: string;
  readonly policy: string;
  readonly gamma: number;
  readonly density: number;
  readonly dramBytes: number;
  /** Simulated. */
  readonly tokensPerSecond: number;
  /** Head, attention, keys and values, and the share of the feed-forward weights that a token reads. */
  readonly memoryBytes: number;
  readonly perplexity: number;
}

/** Perplexities beyond so many times the dense model's are not drawn. */
const LIMIT = 1.3;

/** Perplexity against simulated tokens per second. */
export function qualitySpeedSvg(points: readonly QualityPoint[], title: string): string {
  const sizes = new Set(points.map(({ dramBytes }) => dramBytes)).size;
  const name = (point: QualityPoint) =>
    sizes > 1 ? `${nameOf(point)}, ${megabytes(point.dramBytes)} MB` : nameOf(point);
  return draw(points, title, name, "simulated tokens per second", ({ tokensPerSecond }) => tokensPerSecond);
}

/**
 * Perplexity against the bytes that decoding must hold, which neither policy nor DRAM changes:
 * one line per gamma.
 */
export function qualityMemorySvg(points: readonly QualityPoint[], title: string): string {
  return draw(points, title, nameOf, "MB that decoding reads, without the embedding", ({ memoryBytes }) =>
    Number((memoryBytes / 1e6).toPrecision(6)),
  );
}

/** What rows of simulated sweeps with measured perplexities allow. */
export function simulatedQualityFigures(rows: ResultRows): Figure[] {
  const measured = rows
    .of("simulated-memory/1")
    .map((row) => ({ row, points: pointsOf(row) }))
    .filter(({ points }) => points.length > 0);
  return measured.flatMap(({ row, points }, i) => {
    const left = points.length - within(points).length;
    const note =
      left === 0 ? "" : ` ${left} settings beyond ${LIMIT} times the dense perplexity are not drawn.`;
    const caption = `Speed is simulated, not measured: ${row.simulated} of ${row.device}, ${row.weightBits}-bit weights, ${row.timing} transfers; columns as in: ${row.origin}. Perplexity is measured, every token sparse, with caches of the simulated size in the loop.${note}`;
    const table = {
      head: ["policy, gamma, density", "MB of DRAM", "perplexity", "simulated tokens/s", "MB held"],
      rows: points.map((point) => [
        `${nameOf(point)}, ${point.density.toFixed(2)}`,
        megabytes(point.dramBytes),
        point.perplexity.toFixed(2),
        point.tokensPerSecond.toPrecision(4),
        megabytes(point.memoryBytes),
      ]),
    };
    const speed = `Simulated: perplexity against speed, ${row.shape}`;
    const memory = `Simulated: perplexity against memory, ${row.shape}`;
    return [
      { name: numbered("simulated-quality-speed", i), title: speed, svg: qualitySpeedSvg(points, speed) },
      { name: numbered("simulated-quality-memory", i), title: memory, svg: qualityMemorySvg(points, memory) },
    ].map((figure) => ({ ...figure, caption, rows: [row], table }));
  });
}

/** Settings whose perplexity was measured too. */
function pointsOf({ results }: ResultRow<"simulated-memory/1">): QualityPoint[] {
  return results.flatMap(({ memoryBytes, perplexity, ...rest }) =>
    memoryBytes === undefined || perplexity === undefined ? [] : [{ ...rest, memoryBytes, perplexity }],
  );
}

function draw(
  points: readonly QualityPoint[],
  title: string,
  name: (point: QualityPoint) => string,
  xLabel: string,
  x: (point: QualityPoint) => number,
): string {
  const lines = groupBy(within(points), name);
  const series = [...lines].map(([name, members]) => ({
    name,
    drawn: "dots" as const,
    points: members.map((point) => ({ x: x(point), y: point.perplexity })).toSorted((a, b) => a.x - b.x),
  }));
  return lineSvg(series, { title, xLabel, yLabel: "perplexity, lower is better" });
}

/** Those near enough to the dense model, or all where it is not among them. */
function within(points: readonly QualityPoint[]): readonly QualityPoint[] {
  const dense = points.find(({ method }) => method === "dense");
  return dense === undefined
    ? points
    : points.filter(({ perplexity }) => perplexity <= LIMIT * dense.perplexity);
}

function nameOf(point: QualityPoint): string {
  return point.method === "dense" ? "dense" : cacheName(point);
}
