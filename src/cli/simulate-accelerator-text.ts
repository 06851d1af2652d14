/**
 * The report of `skim simulate accelerator` as tables; they say that it is simulated and on what assumptions.
 */
import { ENERGY_KEYS, type ArrayHardware, type EnergyCosts } from "../simulation/accelerator/hardware.ts";
import type { AcceleratorRow, SimulatedWork } from "../simulation/accelerator/simulate-accelerator.ts";
import { formatSize, formatTable, printLine, type Terminal } from "./terminal.ts";

/** The JSON of `simulate accelerator`. */
export interface AcceleratorReport {
  readonly simulated: string;
  readonly hardware: ArrayHardware;
  readonly energyPicojoules: EnergyCosts;
  readonly energySource: string;
  readonly rows: readonly AcceleratorRow[];
}

export function printAcceleratorReport(
  terminal: Terminal,
  report: AcceleratorReport,
  byMatmul: boolean,
): void {
  const { hardware, energyPicojoules, rows } = report;
  printLine(
    terminal,
    "SIMULATED cycles, time and energy; models of ideas on equal hardware, no chip was measured",
  );
  printLine(
    terminal,
    `hardware ${hardware.name}: ${hardware.side} x ${hardware.side} elements of 4 bits at ${hardware.clockHz / 1e9} GHz, ` +
      `DRAM ${hardware.dramBytesPerSecond / 1e9} GB/s, scratchpads 2 x ${hardware.scratchpadBytes / 1024} KiB, ${hardware.vectorLanes} vector lanes`,
  );
  printLine(terminal, `         ${hardware.source}`);
  printLine(
    terminal,
    `energy   ${ENERGY_KEYS.map((key) => `${key} ${energyPicojoules[key]}`).join(", ")} pJ (sram, dram per byte)`,
  );
  printLine(terminal, `         ${report.energySource}`);
  for (const group of groupRows(rows)) {
    const [first] = group;
    const attention =
      first.attended === null ? "linears only" : `with attention over ${first.attended} positions`;
    printLine(
      terminal,
      `\n${first.model}, ${first.rows} ${first.rows === 1 ? "row" : "rows"}, one layer, ${attention}`,
    );
    printLine(
      terminal,
      formatTable(
        HEADER,
        group.map((row) => formatRow(row, group)),
      ),
    );
    if (byMatmul) printLine(terminal, formatTable(MATMUL_HEADER, group.flatMap(formatMatmuls)));
  }
}

const HEADER = [
  "design",
  "cycles",
  "array use",
  "time ms",
  "no overlap ms",
  "tender is",
  "DRAM",
  "energy mJ",
  "mac/sram/dram/vector",
  "model ms",
];

/** Rows of one model and number of rows, in order. */
function groupRows(rows: readonly AcceleratorRow[]): AcceleratorRow[][] {
  const groups = new Map<string, AcceleratorRow[]>();
  for (const row of rows) {
    const key = `${row.model}/${row.rows}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

function formatRow(row: AcceleratorRow, group: readonly AcceleratorRow[]): string[] {
  const { layer, design } = row;
  // Against Tender of the same width: wider designs keep more quality,
  // so other comparisons would not be fair.
  const tender = group.find((other) => other.design.kind === "tender" && other.design.bits === design.bits);
  const speedUp =
    tender === undefined || tender === row
      ? "-"
      : `${(layer.time.overlappedSeconds / tender.layer.time.overlappedSeconds).toFixed(2)} x as fast`;
  const { energy } = layer;
  const shares = [energy.mac, energy.sram, energy.dram, energy.vector];
  return [
    row.name,
    String(layer.counts.cycles),
    percent(layer.utilisation),
    milli(layer.time.overlappedSeconds),
    milli(layer.time.sequentialSeconds),
    speedUp,
    formatSize(layer.counts.dramBytes),
    milli(energy.total),
    shares.map((joules) => percent(joules / energy.total)).join(" "),
    milli(row.modelSeconds),
  ];
}

const MATMUL_HEADER = [
  "matmul",
  "design",
  "M x K x N",
  "cycles each",
  "array use",
  "bound by",
  "DRAM each",
  "uJ each",
];

function formatMatmuls(row: AcceleratorRow): string[][] {
  return row.matmuls.map(({ matmul, each }) => [
    matmul.count === 1 ? matmul.name : `${matmul.name} (${matmul.count})`,
    row.name,
    `${matmul.rows} x ${matmul.inner} x ${matmul.columns}`,
    String(each.counts.cycles),
    percent(each.utilisation),
    boundBy(each),
    formatSize(each.counts.dramBytes),
    (each.energy.total * 1e6).toPrecision(4),
  ]);
}

function boundBy({ time }: SimulatedWork): string {
  return time.arraySeconds >= time.dramSeconds ? "array" : "DRAM";
}

function milli(value: number): string {
  return (value * 1e3).toPrecision(4);
}

function percent(share: number): string {
  return `${(share * 100).toPrecision(3)}%`;
}
