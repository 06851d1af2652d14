/**
 * Kernels by themselves as shares of the machine's read bandwidth, the roofline, measured in the same run.
 * Invariant: of every kernel the newest row alone; shares of different runs stand in different groups.
 */
import { type DotGroup, dotSvg } from "../dot-figure.ts";
import type { ResultRows, RowOrigin } from "../result-rows.ts";
import { type Figure, noteLoad, percent } from "./figure.ts";

interface Line {
  readonly name: string;
  readonly rooflineShare: number;
  readonly gigabytesPerSecond: number;
}

interface Measured {
  readonly row: RowOrigin;
  readonly name: string;
  readonly lines: readonly Line[];
}

export function kernelsFigure(rows: ResultRows): Figure[] {
  const measured = [...tenderLinear(rows), ...linearColumns(rows)];
  if (measured.length === 0) return [];
  const groups = measured.map(
    ({ row, name, lines }): DotGroup => ({
      name: `${name}${noteLoad(row)}`,
      lines: lines.map((line) => ({ name: line.name, values: [line.rooflineShare] })),
    }),
  );
  const title = "Kernels alone: share of the roofline that decoding reaches";
  return [
    {
      name: "kernels",
      title,
      svg: dotSvg(groups, {
        title,
        xLabel: "GB/s of weights read, times those of plain reading with the same threads in the same run",
        series: [{ name: "measured", symbol: "dot" }],
        rule: 1,
        format: percent,
      }),
      caption:
        "One linear or gated unit of random weights, larger than the caches unless the command says otherwise. Less than all: arithmetic, choosing or short pieces take longer than reading; more: the machine's bandwidth drifts by some percent within a run.",
      rows: measured.map(({ row }) => row),
      table: {
        head: ["kernel", "share of the roofline", "GB/s"],
        rows: measured.flatMap(({ name, lines }) =>
          lines.map((line) => [
            `${name}: ${line.name}`,
            percent(line.rooflineShare),
            line.gigabytesPerSecond.toFixed(1),
          ]),
        ),
      },
    },
  ];
}

function tenderLinear(rows: ResultRows): Measured[] {
  return rows
    .of("tender-linear/1")
    .slice(-1)
    .map((row) => ({
      row,
      name: `linears, ${row.shape.rows} x ${row.shape.columns}, threads: ${row.shape.decodeThreads}`,
      lines: row.best.map(({ scheme, rooflineShare, decodeGBs }) => ({
        name: scheme,
        rooflineShare,
        gigabytesPerSecond: decodeGBs,
      })),
    }));
}

function linearColumns(rows: ResultRows): Measured[] {
  return rows
    .of("linear-columns/1")
    .slice(-1)
    .map((row) => ({
      row,
      name: `gated units by columns, ${row.shape.hidden} x ${row.shape.feedForward}, threads: ${row.threads}`,
      lines: row.results.map(({ weights, density, rooflineShare, medianGBs }) => ({
        name: `${weights}, ${density === null ? "dense" : `density ${density}`}`,
        rooflineShare,
        gigabytesPerSecond: medianGBs,
      })),
    }));
}
