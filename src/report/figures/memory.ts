/**
 * Memory: what the weights take, and what the process held at most, beside llama.cpp; and what decoding reads
 * from disk and memory where the model is larger than its budget.
 */
import { dotSvg } from "../dot-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, groupBy, RANDOM_WEIGHTS } from "./figure.ts";

const gigabytes = (bytes: number) => bytes / 1e9;

export function memoryFigure(rows: ResultRows): Figure[] {
  const [peers, offload] = [rows.of("peers/1"), offloadRows(rows)];
  const groups = [
    {
      name: "whole model in memory",
      lines: peers.map(({ model, skim, llamaCpp }) => ({
        name: model.file,
        values: [skim.peakMemoryBytes, skim.weightBytes, llamaCpp.peakMemoryBytes].map(gigabytes),
      })),
    },
    {
      name: "feed-forward columns on disk",
      lines: offload.map(({ model, name, budget, peakMemoryBytes, promptFileBytes }) => ({
        name: `${model}, ${name}, budget ${budget}`,
        values: [gigabytes(peakMemoryBytes), undefined, undefined, gigabytes(promptFileBytes)],
      })),
    },
  ].filter(({ lines }) => lines.length > 0);
  if (groups.length === 0) return [];
  const series = [
    { name: "resident, most", symbol: "dot" },
    { name: "weights in kernel memory", symbol: "bar" },
    { name: "resident, llama.cpp", symbol: "ring" },
    { name: "weights on disk", symbol: "bar" },
  ] as const;
  const title = "Memory: weights, and the process at its greatest";
  const format = (value: number) => value.toFixed(2);
  return [
    {
      name: "memory",
      title,
      svg: dotSvg(groups, { title, xLabel: "GB", series, format }),
      caption: `Resident size of the whole process, Node or the native library included; numbers at the right are skim's. Weights on disk are what a prompt reads, all of them. ${RANDOM_WEIGHTS}`,
      rows: [...peers, ...offload],
      table: {
        head: ["model, GB", ...series.map(({ name }) => name)],
        rows: groups.flatMap(({ lines }) =>
          lines.map(({ name, values }) => [
            name,
            ...values.map((value) => (value === undefined ? "" : format(value))),
          ]),
        ),
      },
    },
  ];
}

/** Bytes per token of offloaded models; counts, so that runs compare. */
export function offloadFigure(rows: ResultRows): Figure[] {
  const used = offloadRows(rows);
  if (used.length === 0) return [];
  const groups = [...groupBy(used, ({ model, budget }) => `${model}, budget ${budget}`)].map(
    ([name, settings]) => ({
      name,
      lines: settings.map(({ name, fileBytesPerToken, memoryBytesPerToken, hitRate }) => ({
        name: `${name}, ${Math.round(100 * hitRate)} % hits`,
        values: [gigabytes(fileBytesPerToken), gigabytes(memoryBytesPerToken)],
      })),
    }),
  );
  const series = [
    { name: "from the file", symbol: "dot" },
    { name: "from memory", symbol: "bar" },
  ] as const;
  const title = "Columns on disk: read per decoded token";
  const format = (value: number) => value.toFixed(2);
  return [
    {
      name: "offload",
      title,
      svg: dotSvg(groups, { title, xLabel: "GB per token", series, format }),
      caption: `Numbers at the right are GB from the file, gaps between columns included. Speeds are not drawn: each setting is a run of its own. ${RANDOM_WEIGHTS} They choose other columns than trained ones, so that hits are of this model only.`,
      rows: used,
      table: {
        head: ["setting, GB per token", ...series.map(({ name }) => name)],
        rows: groups.flatMap(({ name, lines }) =>
          lines.map((line) => [`${name}: ${line.name}`, ...line.values.map(format)]),
        ),
      },
    },
  ];
}

function offloadRows(rows: ResultRows) {
  return [...rows.of("offload/1"), ...rows.of("offload/2")];
}
