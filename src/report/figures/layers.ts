/** Layer by layer: neurons that training left closed, and what the model loses without a sublayer. */
import { dotSvg } from "../dot-figure.ts";
import { lineSvg } from "../line-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, flagOf } from "./figure.ts";

/** Zeros of what enters `down`, by layer, of ProSparse runs. */
export function sparsityFigure(rows: ResultRows): Figure[] {
  const used = rows.of("prosparse/1").slice(-1);
  const runs = used.flatMap(({ runs }) => runs);
  if (runs.length === 0) return [];
  const title = `Neurons: share of zeros by layer, ReLU models trained from ${used[0].base.model}`;
  const layers = runs[0].x1.chosen.layers.length;
  return [
    {
      name: "sparsity",
      title,
      svg: lineSvg(
        runs.map(({ name, perplexity, x1 }) => ({
          name: `${name}, perplexity ${perplexity.toFixed(1)}`,
          drawn: "dots",
          points: x1.chosen.layers.map((share, x) => ({ x, y: 100 * share })),
        })),
        {
          title,
          xLabel: "layer",
          yLabel: "closed neurons, %",
          yDomain: [Math.floor(10 * Math.min(...runs.flatMap(({ x1 }) => x1.chosen.layers))) * 10, 100],
          countsAlong: true,
        },
      ),
      caption:
        "Mean share of zeros among the values that enter the down projection, with each run's chosen threshold, on held-out text. Dynamic Input Pruning is not drawn: it keeps the same share in every layer, by definition.",
      rows: used,
      table: {
        head: ["run, %", "perplexity", ...Array.from({ length: layers }, (_, i) => `layer ${i}`)],
        rows: runs.map(({ name, perplexity, x1 }) => [
          name,
          perplexity.toFixed(2),
          ...x1.chosen.layers.map((share) => (100 * share).toFixed(1)),
        ]),
      },
    },
  ];
}

/** Perplexity without each sublayer, times that of the whole model. */
export function sensitivityFigures(rows: ResultRows): Figure[] {
  return rows.of("sensitivity/1").map((row, i) => {
    const kinds = [...new Set(row.units.map(({ kind }) => kind))];
    const layers = [...new Set(row.units.map(({ layer }) => layer))].sort((a, b) => a - b);
    const lines = layers.map((layer) => ({
      name: `layer ${layer}`,
      values: kinds.map((kind) => {
        const unit = row.units.find((candidate) => candidate.layer === layer && candidate.kind === kind);
        return unit && unit.perplexity / row.perplexity;
      }),
    }));
    const title = `Sensitivity: ${row.model} without one sublayer`;
    const format = (value: number) => value.toFixed(2);
    return {
      name: i === 0 ? "sensitivity" : `sensitivity-${i + 1}`,
      title,
      svg: dotSvg([{ name: "dropped", lines }], {
        title,
        xLabel: "times the perplexity of the whole model",
        series: kinds.map((kind, k) => ({ name: kind, symbol: k === 0 ? "dot" : "ring" })),
        rule: 1,
        log: true,
        format,
      }),
      caption: `Perplexity on ${flagOf(row, "text")} without tuning after the drop; the whole model has ${row.perplexity.toFixed(2)}. Numbers at the right belong to ${kinds[0]}.`,
      rows: [row],
      table: {
        head: ["layer", ...kinds.map((kind) => `without ${kind}`)],
        rows: lines.map(({ name, values }) => [
          name,
          ...values.map((value) => (value === undefined ? "" : format(value))),
        ]),
      },
    };
  });
}
