/**
 * What was simulated: DIP with columns cached over flash, and Tender on a systolic array.
 * Invariant: titles, axes and captions say so; nothing here was measured.
 */
import { dotSvg } from "../dot-figure.ts";
import { lineSvg } from "../line-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { cacheName, type Figure, groupBy, numbered } from "./figure.ts";

/** Speed that transfers allow, by size of the DRAM. */
export function simulatedMemoryFigures(rows: ResultRows): Figure[] {
  return rows.of("simulated-memory/1").map((row, i) => {
    const lines = groupBy(row.results, ({ method, policy, gamma, density }) =>
      method === "dense" ? "dense" : `${method} ${density.toFixed(2)}, ${cacheName({ policy, gamma })}`,
    );
    const title = `Simulated: decoding ${row.shape} with less DRAM than weights`;
    return {
      name: numbered("simulated-memory", i),
      title,
      svg: lineSvg(
        [...lines].map(([name, results]) => ({
          name,
          drawn: "dots",
          points: results.map(({ dramBytes, tokensPerSecond }) => ({
            x: dramBytes / 1e6,
            y: tokensPerSecond,
          })),
        })),
        { title, xLabel: "MB of DRAM", yLabel: "simulated tokens per second", yDomain: "zero" },
      ),
      caption: `Simulated, not measured: ${row.simulated} of ${row.device}, ${row.weightBits}-bit weights, ${row.timing} transfers; columns as in: ${row.origin}. Not modelled: ${row.notModelled.join(", ")}.`,
      rows: [row],
      table: {
        head: ["simulated", "MB of DRAM", "MB from flash per token", "tokens/s"],
        rows: [...lines].flatMap(([name, results]) =>
          results.map(({ dramBytes, flashBytesPerToken, tokensPerSecond }) => [
            name,
            (dramBytes / 1e6).toFixed(2),
            (flashBytesPerToken / 1e6).toFixed(3),
            tokensPerSecond.toPrecision(4),
          ]),
        ),
      },
    };
  });
}

/** Time of other designs on the same array, times Tender's at the same width. */
export function simulatedAcceleratorFigures(rows: ResultRows): Figure[] {
  return rows.of("simulated-accelerator/1").map((row, i) => {
    const runs = groupBy(
      row.results,
      ({ model, tokens, bits }) =>
        `${model}, ${tokens === 1 ? "decoding one token" : `${tokens} tokens at once`}, ${bits} bits`,
    );
    const groups = [...runs].flatMap(([name, results]) => {
      const tender = results.find(({ name }) => name.startsWith("tender"));
      if (tender === undefined) return [];
      return {
        name,
        lines: results
          .filter((result) => result !== tender)
          .map((result) => ({
            name: result.name,
            values: [result.seconds / tender.seconds, result.joules / tender.joules],
          })),
      };
    });
    const title = "Simulated: Tender and other designs on one systolic array";
    const format = (value: number) => value.toFixed(2);
    return {
      name: numbered("simulated-accelerator", i),
      title,
      svg: dotSvg(groups, {
        title,
        xLabel: "simulated time or energy, times Tender's at the same width",
        series: [
          { name: "simulated time", symbol: "dot" },
          { name: "simulated energy", symbol: "ring" },
        ],
        rule: 1,
        format,
      }),
      caption: `Simulated, not measured: ${row.simulated} of designs as ideas on equal hardware (${row.hardware.name}); no chip was measured and nothing is said about quality. Right of 1 Tender is better.`,
      rows: [row],
      table: {
        head: ["simulated", "time", "energy"],
        rows: groups.flatMap(({ name, lines }) =>
          lines.map((line) => [`${name}: ${line.name}`, ...line.values.map(format)]),
        ),
      },
    };
  });
}
