/**
 * The report of `skim simulate memory` as text for people and as CSV for plots;
 * both say that it is simulated.
 */
import type { TraceHeader } from "../simulation/memory/column-trace.ts";
import type { MemorySetting } from "../simulation/memory/memory-plan.ts";
import type { QualityNote, RatedRow } from "./simulate-memory-quality.ts";
import type { Timing } from "../simulation/memory/transfer-time.ts";
import { formatSize, formatTable, printLine, type Terminal } from "./terminal.ts";

/** The JSON of `simulate memory`. */
export interface MemoryReport extends Omit<MemorySetting, "shape" | "dramBytes"> {
  readonly simulated: string;
  readonly notModelled: readonly string[];
  readonly device: { readonly name: string; readonly source: string; readonly customBandwidths: boolean };
  readonly timing: Timing;
  readonly weightBits: number;
  readonly scaleGroup: number | null;
  readonly keyValueBits: number;
  readonly trace: TraceHeader;
  readonly seed: number;
  readonly rows: readonly RatedRow[];
  /** How the rows' perplexities were measured, where they were. */
  readonly quality?: QualityNote;
}

export function printMemoryReport(terminal: Terminal, report: MemoryReport): void {
  const { trace, device, rows } = report;
  const scales = report.scaleGroup === null ? "no scales" : `a 16-bit scale per ${report.scaleGroup}`;
  const tokens = trace.sequences.reduce((sum, sequence) => sum + sequence.tokens, 0);
  printLine(terminal, `SIMULATED transfer-bound tokens/s; not modelled: ${report.notModelled.join(", ")}`);
  printLine(
    terminal,
    `model   ${trace.shape.name}, ${report.weightBits}-bit weights (${scales}), ${report.keyValueBits}-bit keys and values, ` +
      `prompt ${report.promptLength}, up to ${report.sequenceLength} positions`,
  );
  printLine(
    terminal,
    `memory  ${device.customBandwidths ? `${device.name} with other bandwidths` : device.name}, DRAM ${gigabytes(rows[0].link.dramBytesPerSecond)} GB/s, ` +
      `reads of DRAM and flash ${report.timing}`,
  );
  if (!device.customBandwidths) printLine(terminal, `        ${device.source}`);
  printLine(terminal, `trace   ${trace.origin}`);
  printLine(
    terminal,
    `        sequences ${trace.sequences.length}, tokens ${tokens}, caches cold at each start`,
  );
  if (report.quality !== undefined) {
    const { model, context, characters, tokensScored } = report.quality;
    printLine(
      terminal,
      `quality perplexity of ${model} measured on ${characters} characters (${tokensScored} predictions, hf windows of ${context}), caches in the loop`,
    );
  }
  const rated = report.quality !== undefined;
  printLine(terminal, formatTable(rated ? [...HEADER, "perplexity"] : HEADER, rows.map(formatRow)));
  if (rows.some(({ policy }) => policy === "belady")) {
    printLine(
      terminal,
      "belady is non-causal: it knows the future, no cache can do better while selections fit it",
    );
  }
}

const HEADER = [
  "method",
  "D",
  "k in/glu",
  "policy",
  "gamma",
  "DRAM GB",
  "flash GB/s",
  "slots in/glu",
  "hits in/glu",
  "flash/token",
  "sim. tok/s",
  "first token",
  "memory",
];

function formatRow(row: RatedRow): string[] {
  const { counts, slots, hitRate } = row;
  return [
    row.method,
    row.density.toFixed(3),
    counts === null ? "-" : `${counts.input}/${counts.glu}`,
    row.policy,
    formatPreference(row),
    String(row.dramBytes / 1e9),
    gigabytes(row.link.flashBytesPerSecond),
    `${slots.input}/${slots.glu}`,
    `${percent(hitRate.input)}/${percent(hitRate.glu)}`,
    formatSize(Math.round(row.flashBytesPerToken)),
    row.tokensPerSecond.toFixed(3),
    `${row.firstTokenSeconds.toPrecision(3)} s`,
    formatSize(Math.round(row.memoryBytes)),
    ...(row.perplexity === undefined ? [] : [row.perplexity.toFixed(3)]),
  ];
}

function formatPreference({ method, preference }: RatedRow): string {
  const { gamma, topM, fixedTopN, warmUp, alphaBlend } = preference;
  if (method !== "dip-ca") return method === "dip" ? "1" : "-";
  const parts = [topM === undefined ? String(gamma) : `top m ${topM}`];
  if (fixedTopN > 0) parts.push(`top ${fixedTopN} fixed`);
  if (warmUp) parts.push("warm-up");
  if (alphaBlend) parts.push("blend");
  return parts.join(", ");
}

/** All rows with units in the column names; numbers are written in full. */
export function formatRowsAsCsv(report: MemoryReport): string {
  const columns: [string, (row: RatedRow) => string | number][] = [
    ["model", () => quote(report.trace.shape.name)],
    ["trace", () => quote(report.trace.origin)],
    ["timing", () => report.timing],
    ["weight_bytes", () => report.storage.mlpWeight],
    ["key_value_bytes", () => report.storage.keyValue],
    ["method", ({ method }) => method],
    ["density", ({ density }) => density],
    ["k_input", ({ counts }) => counts?.input ?? ""],
    ["k_glu", ({ counts }) => counts?.glu ?? ""],
    ["policy", ({ policy }) => policy],
    ["gamma", ({ preference }) => preference.gamma],
    ["top_m", ({ preference }) => preference.topM ?? ""],
    ["fixed_top_n", ({ preference }) => preference.fixedTopN],
    ["warm_up", ({ preference }) => String(preference.warmUp)],
    ["alpha_blend", ({ preference }) => String(preference.alphaBlend)],
    ["dram_bytes", ({ dramBytes }) => dramBytes],
    ["dram_bytes_per_second", ({ link }) => link.dramBytesPerSecond],
    ["flash_bytes_per_second", ({ link }) => link.flashBytesPerSecond],
    ["slots_input", ({ slots }) => slots.input],
    ["slots_glu", ({ slots }) => slots.glu],
    ["hit_rate_input", ({ hitRate }) => hitRate.input],
    ["hit_rate_glu", ({ hitRate }) => hitRate.glu],
    ["flash_bytes_per_token", (row) => row.flashBytesPerToken],
    ["mlp_dram_bytes_per_token", (row) => row.dramBytesPerToken],
    ["simulated_tokens_per_second", (row) => row.tokensPerSecond],
    ["simulated_first_token_seconds", (row) => row.firstTokenSeconds],
    ["memory_bytes", (row) => row.memoryBytes],
    ["perplexity", (row) => row.perplexity ?? ""],
  ];
  const lines = report.rows.map((row) => columns.map(([, read]) => read(row)).join(","));
  return `${[columns.map(([name]) => name).join(","), ...lines].join("\n")}\n`;
}

/** A CSV field that may hold commas or quotes. */
function quote(text: string): string {
  return `"${text.replaceAll('"', '""').replaceAll(/\s+/g, " ")}"`;
}

function gigabytes(bytes: number): string {
  return String(bytes / 1e9);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}
