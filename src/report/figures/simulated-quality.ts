/**
 * Perplexity against simulated speed and against memory: a line per policy, gamma and DRAM size, over densities.
 * Invariant: axes say what is simulated; what lies far beyond the dense model's perplexity is left out and counted.
 */
import { lineSvg } from "../line-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, groupBy } from "./figure.ts";

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

/** Perplexity against the bytes that decoding must hold, which neither policy nor DRAM changes: one line per gamma. */
export function qualityMemorySvg(points: readonly QualityPoint[], title: string): string {
  return draw(points, title, nameOf, "MB that decoding reads, without the embedding", ({ memoryBytes }) =>
    Number((memoryBytes / 1e6).toPrecision(6)),
  );
}

/** What rows of simulated sweeps with measured perplexities allow. */
export function simulatedQualityFigures(rows: ResultRows): Figure[] {
  return rows.of("simulated-memory/1").flatMap((row, i) => {
    const points = row.results.flatMap(({ memoryBytes, perplexity, ...rest }) =>
      memoryBytes === undefined || perplexity === undefined ? [] : [{ ...rest, memoryBytes, perplexity }],
    );
    if (points.length === 0) return [];
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
    const suffix = i === 0 ? "" : `-${i + 1}`;
    const speed = `Simulated: perplexity against speed, ${row.shape}`;
    const memory = `Simulated: perplexity against memory, ${row.shape}`;
    return [
      { name: `simulated-quality-speed${suffix}`, title: speed, svg: qualitySpeedSvg(points, speed) },
      { name: `simulated-quality-memory${suffix}`, title: memory, svg: qualityMemorySvg(points, memory) },
    ].map((figure) => ({ ...figure, caption, rows: [row], table }));
  });
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

function nameOf({ method, policy, gamma }: QualityPoint): string {
  if (method === "dense") return "dense";
  const cache = policy === "none" ? "no cache" : policy === "belady" ? "belady (knows the future)" : policy;
  return `${cache}${gamma === 1 ? "" : `, gamma ${gamma}`}`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
