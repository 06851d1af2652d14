/** Memory: what the weights take in kernel memory, and what the process held at most, beside llama.cpp and the file. */
import { dotSvg } from "../dot-figure.ts";
import type { ResultRows } from "../result-rows.ts";
import { type Figure, RANDOM_WEIGHTS } from "./figure.ts";

const gigabytes = (bytes: number) => bytes / 1e9;

export function memoryFigure(rows: ResultRows): Figure[] {
  const [peers, offload] = [rows.of("peers/1"), rows.of("offload/1")];
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
