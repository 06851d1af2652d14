/** Layer by layer: neurons that training left closed, and what the model loses without a sublayer. */
import { dotSvg } from "../dot-figure.ts";
import { lineSvg } from "../line-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, flagOf, numbered } from "./figure.ts";

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

/** Zeros of models side by side: on several texts, and by layer on the first of them. */
export function zerosFigures(rows: ResultRows): Figure[] {
  const used = rows.of("sparsity/1").slice(-1);
  if (used.length === 0) return [];
  const [{ models }] = used;
  const texts = models[0].zeros.map(({ text }) => text);
  const { percent } = models[0].pplPercent;
  const format = (value: number) => value.toFixed(1);
  const lines = models.map(({ name, zeros, pplPercent }) => ({
    name,
    values: [100 * pplPercent.sparsity, ...zeros.map(({ sparsity }) => 100 * sparsity)],
  }));
  const columns = [
    `may be left out for ${percent} % of perplexity`,
    ...texts.map((text) => `zeros, ${text}`),
  ];
  const title = "Neurons: zeros on texts of several kinds";
  const byLayer = `Neurons: share of zeros by layer on ${texts[0]}`;
  return [
    {
      name: "zeros",
      title,
      svg: dotSvg([{ name: "", lines }], {
        title,
        xLabel: "% of the values that enter the down projection",
        series: columns.map((name, i) => ({ name, symbol: i === 0 ? "bar" : "dot" })),
        domain: [0, 100],
        format,
      }),
      caption: `Exact zeros, means over layers and tokens. The bar, and the number at the right, is what may be left out on ${texts[0]} for ${percent} % more perplexity.`,
      rows: used,
      table: {
        head: ["model, %", ...columns],
        rows: lines.map(({ name, values }) => [name, ...values.map(format)]),
      },
    },
    {
      name: "zeros-by-layer",
      title: byLayer,
      svg: lineSvg(
        models.map(({ name, zeros: [{ layers }] }) => ({
          name,
          drawn: "dots",
          points: layers.map((share, x) => ({ x, y: 100 * share })),
        })),
        { title: byLayer, xLabel: "layer", yLabel: "zeros, %", yDomain: [0, 100], countsAlong: true },
      ),
      caption: "Exact zeros of the values that enter the down projection, mean over tokens.",
      rows: used,
      table: {
        head: ["model, %", ...models[0].zeros[0].layers.map((_, i) => `layer ${i}`)],
        rows: models.map(({ name, zeros: [{ layers }] }) => [
          name,
          ...layers.map((share) => format(100 * share)),
        ]),
      },
    },
  ];
}

/** Losses beyond so many times the whole model's perplexity are named in the caption instead. */
const LIMIT = 2;

/** Perplexity without each sublayer, times that of the whole model. */
export function sensitivityFigures(rows: ResultRows): Figure[] {
  return rows.of("sensitivity/1").map((row, i) => {
    const kinds = [...new Set(row.units.map(({ kind }) => kind))];
    const layers = [...new Set(row.units.map(({ layer }) => layer))].sort((a, b) => a - b);
    const units = row.units.map((unit) => ({ ...unit, times: unit.perplexity / row.perplexity }));
    const beyond = units
      .filter(({ times }) => times > LIMIT)
      .map(({ layer, kind, times }) => `layer ${layer} without ${kind} (${times.toFixed(1)} times)`);
    const line = (layer: number, most: number) =>
      kinds.map(
        (kind) =>
          units.find((unit) => unit.layer === layer && unit.kind === kind && unit.times <= most)?.times,
      );
    const title = `Sensitivity: ${row.model} without one sublayer`;
    const format = (value: number) => value.toFixed(2);
    return {
      name: numbered("sensitivity", i),
      title,
      svg: dotSvg(
        [
          {
            name: "",
            lines: layers.map((layer) => ({ name: `layer ${layer}`, values: line(layer, LIMIT) })),
          },
        ],
        {
          title,
          xLabel: "times the perplexity of the whole model",
          series: kinds.map((kind, k) => ({ name: `without ${kind}`, symbol: k === 0 ? "dot" : "ring" })),
          rule: 1,
          domain: [0.95, Math.max(1.1, ...units.map(({ times }) => (times > LIMIT ? 1 : 1.03 * times)))],
          format,
        },
      ),
      caption: `Perplexity on ${flagOf(row, "characters")} characters of ${flagOf(row, "text")}, nothing tuned after the drop; the whole model has ${row.perplexity.toFixed(2)}. Numbers at the right: without ${kinds[0]}.${beyond.length === 0 ? "" : ` Not drawn: ${beyond.join(", ")}.`}`,
      rows: [row],
      table: {
        head: ["layer", ...kinds.map((kind) => `without ${kind}`)],
        rows: layers.map((layer) => [
          `layer ${layer}`,
          ...line(layer, Infinity).map((value) => (value === undefined ? "" : format(value))),
        ]),
      },
    };
  });
}
