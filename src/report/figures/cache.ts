/**
 * Quality against the columns that a cache misses:
 * Dynamic Input Pruning that prefers cached columns (DIP-CA).
 * Invariant: the caches decide what is chosen and nothing else; all weights are in memory,
 * so captions call them simulated.
 */
import { paretoSvg } from "../pareto-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, numbered } from "./figure.ts";

/** Perplexities beyond so many times the dense model's are not drawn. */
const LIMIT = 1.6;

export function cacheFigures(rows: ResultRows): Figure[] {
  return rows.of("cache-quality/1").map((row, i) => {
    const points = row.cells.map(({ density, gamma, policy, perplexity, hitRate }) => ({
      name: `${density}`,
      cost: 100 * density * (1 - hitRate),
      quality: perplexity,
      series: `${policy}, gamma ${gamma}`,
    }));
    const drawn = points.filter(({ quality }) => quality <= LIMIT * row.dense.perplexity);
    const left = points.length - drawn.length;
    const title = `Columns: ${row.model} against what a simulated cache of ${Math.round(100 * row.share)} % misses`;
    return {
      name: numbered("cache", i),
      title,
      svg: paretoSvg(drawn.length > 0 ? drawn : points, {
        title,
        costLabel: "feed-forward columns fetched per token, % of all",
        qualityLabel: "perplexity, lower is better",
        better: "lower",
        level: { value: row.dense.perplexity, label: "dense" },
      }),
      caption: `Names are densities; gamma 1 is DIP, less prefers what is cached. Caches hold ${Math.round(100 * row.share)} % of the columns and are simulated: all weights are in memory. Perplexity on ${row.characters} characters, protocol ${row.protocol}, every token sparse.${drawn.length > 0 && left > 0 ? ` ${left} settings beyond ${LIMIT} times the dense perplexity are not drawn.` : ""}`,
      rows: [row],
      table: {
        head: ["policy, gamma, density", "perplexity", "hits, %", "fetched, %"],
        rows: row.cells.map(({ density, gamma, policy, perplexity, hitRate }) => [
          `${policy}, ${gamma}, ${density}`,
          perplexity.toFixed(2),
          (100 * hitRate).toFixed(1),
          (100 * density * (1 - hitRate)).toFixed(1),
        ]),
      },
    };
  });
}
