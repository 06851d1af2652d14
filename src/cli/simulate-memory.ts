/** `skim simulate memory`: DIP's DRAM/flash model over a trace of column scores, one row per combination. */
import { type Command, Option } from "commander";
import type { CachePreference } from "../methods/dynamic-input-pruning/column-selection.ts";
import { allocateDensities, type DipDensities } from "../methods/dynamic-input-pruning/densities.ts";
import { nodePlatform } from "../platform/node.ts";
import type { ByteSource } from "../platform/types.ts";
import { REPLAY_POLICIES, type ReplayPolicy } from "../simulation/memory/cache-replay.ts";
import type { ColumnTrace, TraceHeader } from "../simulation/memory/column-trace.ts";
import { DEVICE_NAMES, findDevice, type MemoryDevice } from "../simulation/memory/memory-devices.ts";
import type { MemorySetting } from "../simulation/memory/memory-plan.ts";
import { type SweepRow, sweepMemory } from "../simulation/memory/memory-sweep.ts";
import { createSyntheticTrace } from "../simulation/memory/synthetic-trace.ts";
import { openTrace } from "../simulation/memory/trace-file.ts";
import { TIMINGS, type Timing } from "../simulation/memory/transfer-time.ts";
import { parseTransformerShape, SHAPE_NAMES } from "../simulation/model-shapes.ts";
import { names, realNumber, realNumbers, wholeNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { withProgress } from "./progress.ts";
import {
  checkQualityFlags,
  checkRatedTrace,
  type QualityFlags,
  rateRows,
  writePlots,
} from "./simulate-memory-quality.ts";
import { formatRowsAsCsv, type MemoryReport, printMemoryReport } from "./simulate-memory-text.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import { readTextFlag, writeTextFile } from "./text-file.ts";

interface MemoryFlags extends QualityFlags {
  readonly shape?: string;
  readonly trace: string;
  readonly device: string;
  readonly dram: number[];
  readonly dramBandwidth?: number;
  readonly flashBandwidth?: number[];
  readonly timing: Timing;
  readonly density?: number[];
  readonly inputDensity?: number;
  readonly gluDensity?: number;
  readonly policy: ReplayPolicy[];
  readonly gamma: number[];
  readonly fixedTopN: number;
  readonly warmUp?: boolean;
  readonly alphaBlend?: boolean;
  readonly topM?: number;
  readonly weightBits: number;
  readonly scaleGroup?: number;
  readonly kvBits: number;
  readonly promptTokens?: number;
  readonly context?: number;
  readonly pinEmbedding?: boolean;
  readonly streamPinned?: boolean;
  readonly tokens: number;
  readonly sequences: number;
  readonly correlation: number;
  readonly spread: number;
  readonly seed: number;
  readonly out?: string;
  readonly json?: boolean;
}

const SYNTHETIC = "synthetic";

const EXAMPLES = `
Examples:
  $ skim simulate memory --shape phi-3-medium --dram 4 --density 0.5 --policy none,lru,lfu,belady
  $ skim simulate memory --shape llama-3-8b --dram 2,3,4 --flash-bandwidth 1,2,4 --gamma 1,0.2 --out sweep.csv
  $ skim simulate memory --trace run.trace --density 0.4,0.5,0.6 --gamma 1,0.5,0.2 --json
  $ skim simulate memory --trace run.trace --model llama.gguf --text test.txt --gamma 1,0.2 --plots plots

What is simulated: a gated model larger than DRAM, decoding one token at a time with Dynamic Input Pruning. Attention,
head, keys and values are pinned; what DRAM is left holds columns of the MLP matrices, equal bytes for each; missing
columns come from flash. The speed is what the transfers alone allow: no compute, latency, chunk size, write-back or
overlap between layers. A dense row (all columns, a pinned part resident) always comes along.

Every list (a,b,c) is swept, all combinations. --trace names a file of scores or selected columns of a real run;
"${SYNTHETIC}" draws correlated scores instead, which is fine to study the machine and says nothing about a model.
Policies: none, lru, lfu, and belady, which knows the future and is only a bound.
--input-density 1 --glu-density 0.5 is GLU pruning: up and gate dense, half of the columns of down.
Shapes: ${SHAPE_NAMES.filter((name) => name !== "opt-6.7b").join(", ")},
or dimensions: layers=5,d=64,ff=172,heads=8,kv=4,vocab=512. Devices: ${DEVICE_NAMES.join(", ")}.`;

export function addSimulateMemoryCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("memory")
    .description("tokens per second of a model larger than DRAM, limited by transfers (simulated)")
    .addHelpText("after", EXAMPLES)
    .option("--shape <name|dims>", "the model; a trace file knows its own")
    .option("--trace <file>", "trace file of a run, or the word synthetic", SYNTHETIC);
  addMachineFlags(command);
  addMethodFlags(command);
  addStorageFlags(command);
  addSyntheticFlags(command);
  addQualityFlags(command);
  command
    .option("--seed <n>", "of synthetic scores and of scarce cache slots", wholeNumber(0, 0xffffffff), 0)
    .option("--out <file>", "also write all rows as CSV")
    .option("--json", "print one JSON object")
    .action((flags: MemoryFlags) => simulateMemory(terminal, command, flags));
}

function addMachineFlags(command: Command): void {
  const bandwidth = [1e-3, 1e6] as const;
  command
    .option("--device <name>", "bandwidths of a known machine", "apple-a18")
    .option("--dram <GB,...>", "DRAM for weights, keys and values", realNumbers(1e-6, 1e6), [4])
    .option("--dram-bandwidth <GB/s>", "instead of the device's", realNumber(...bandwidth))
    .option("--flash-bandwidth <GB/s,...>", "instead of the device's", realNumbers(...bandwidth))
    .addOption(
      new Option("--timing <name>", "do DRAM and flash reads of one call follow each other or overlap")
        .choices([...TIMINGS])
        .default("sequential"),
    );
}

function addMethodFlags(command: Command): void {
  command
    .option(
      "--density <D,...>",
      "MLP densities of DIP, shared out by its fit (default: 0.5)",
      realNumbers(0, 1),
    )
    .option("--input-density <x>", "columns of up and gate kept, instead of --density", realNumber(0, 1))
    .option("--glu-density <x>", "columns of down kept, with --input-density", realNumber(0, 1))
    .option("--policy <name,...>", "what caches evict", names(REPLAY_POLICIES), ["none", "lru", "lfu"])
    .option(
      "--gamma <x,...>",
      "weight of scores of columns that are not cached (DIP-CA); 1 is DIP",
      realNumbers(0, 1),
      [1],
    )
    .option("--fixed-top-n <n>", "so many largest scores keep their weight", wholeNumber(0), 0)
    .option("--warm-up", "let gamma fall from 1 over the first tokens")
    .option("--alpha-blend", "gamma * score + (1 - gamma) * cached instead of a factor")
    .option("--top-m <m>", "approximate caching: cached columns out of the top m first", wholeNumber(1));
}

function addStorageFlags(command: Command): void {
  command
    .option("--weight-bits <b>", "bits per weight", realNumber(1, 32), 4)
    .option(
      "--scale-group <n>",
      "MLP weights that share a 16-bit scale inside a column (default: none)",
      wholeNumber(1),
    )
    .option("--kv-bits <b>", "bits per key or value element", realNumber(1, 32), 16)
    .option(
      "--prompt-tokens <n>",
      "tokens of the prompt (default: the trace's, 1024 if synthetic)",
      wholeNumber(0),
    )
    .option("--context <n>", "positions at the end (default: the trace's, 2048 if synthetic)", wholeNumber(1))
    .option("--pin-embedding", "count the embedding table as resident")
    .option("--stream-pinned", "read from flash what does not fit DRAM of the pinned parts");
}

function addSyntheticFlags(command: Command): void {
  command
    .option("--tokens <n>", "synthetic: generated tokens per sequence", wholeNumber(1, 100_000), 32)
    .option("--sequences <n>", "synthetic: sequences, each with a cold cache", wholeNumber(1, 1000), 1)
    .option("--correlation <x>", "synthetic: of neighbouring tokens", realNumber(0, 0.999), 0.5)
    .option("--spread <x>", "synthetic: how unlike columns are", realNumber(0, 4), 0.5);
}

function addQualityFlags(command: Command): void {
  command
    .option("-m, --model <path>", "measure the perplexity of this model with each row's caches in the loop")
    .option("--text <file>", "with --model: UTF-8 text to measure on, another than the trace's")
    .option("--characters <n>", "with --model: of the text, so many from its start", wholeNumber(1))
    .option("--plots <folder>", "with --model: perplexity against speed and memory as SVG files");
}

async function simulateMemory(terminal: Terminal, command: Command, flags: MemoryFlags): Promise<void> {
  checkQualityFlags(flags, readPreferences(flags));
  const { trace, source } = await openColumns(command, flags);
  try {
    if (flags.model !== undefined) await checkRatedTrace(flags.model, trace.header);
    await withInterrupt((signal) => runSweep(terminal, flags, trace, signal));
  } finally {
    await source?.close();
  }
}

async function runSweep(
  terminal: Terminal,
  flags: MemoryFlags,
  trace: ColumnTrace,
  signal: AbortSignal,
): Promise<void> {
  const device = findDevice(flags.device);
  const setting = readSetting(flags, trace.header);
  const axes = {
    dramBytes: flags.dram.map((gigabytes) => gigabytes * 1e9),
    links: readLinks(flags, device),
    densities: readDensities(flags, trace.header),
    policies: flags.policy,
    preferences: readPreferences(flags),
  };
  const { seed } = flags;
  const rows = await withProgress(terminal, "simulating", "layer halves", (onProgress) =>
    sweepMemory(trace, { axes, setting, seed, signal, onProgress }),
  );
  const custom = flags.dramBandwidth !== undefined || flags.flashBandwidth !== undefined;
  const report: MemoryReport = {
    simulated: "simulated transfer-bound tokens/s",
    notModelled: ["compute", "latency", "chunk size", "write-back to DRAM", "overlap between layers"],
    device: { name: device.name, source: device.source, customBandwidths: custom },
    timing: flags.timing,
    weightBits: flags.weightBits,
    scaleGroup: flags.scaleGroup ?? null,
    keyValueBits: flags.kvBits,
    ...setting,
    trace: trace.header,
    seed,
    ...(await rate(terminal, flags, rows, trace.header, signal)),
  };
  if (flags.plots !== undefined) {
    const title = `${trace.header.shape.name} on ${device.name}, speed simulated`;
    const files = await writePlots(flags.plots, report.rows, title);
    printNote(terminal, `wrote ${files.join(" and ")}`);
  }
  if (flags.out !== undefined) {
    await writeTextFile(flags.out, formatRowsAsCsv(report));
    printNote(terminal, `wrote ${flags.out}: ${rows.length} rows`);
  }
  if (flags.json === true) printJson(terminal, report);
  else printMemoryReport(terminal, report);
}

/** The rows, with perplexities where --model and --text ask for them. */
async function rate(
  terminal: Terminal,
  flags: MemoryFlags,
  rows: readonly SweepRow[],
  { shape }: TraceHeader,
  signal: AbortSignal,
): Promise<Pick<MemoryReport, "rows" | "quality">> {
  const { model, text } = flags;
  if (model === undefined || text === undefined) return { rows };
  const read = (await readTextFlag(text, "--text")).slice(0, flags.characters);
  return rateRows(terminal, { ...flags, model }, read, { rows, shape, signal });
}

/** The trace named by the flags, and the file behind it where there is one. */
async function openColumns(
  command: Command,
  flags: MemoryFlags,
): Promise<{ trace: ColumnTrace; source?: ByteSource }> {
  if (flags.trace === SYNTHETIC) {
    if (flags.shape === undefined) {
      throw new UsageError(
        `simulate memory: give --shape (one of ${SHAPE_NAMES.join(", ")}) or a --trace file`,
      );
    }
    const shape = parseTransformerShape(flags.shape);
    const promptTokens = flags.promptTokens ?? 1024;
    return { trace: createSyntheticTrace({ ...flags, shape, promptTokens }) };
  }
  for (const name of ["shape", "tokens", "sequences", "correlation", "spread"]) {
    if (command.getOptionValueSource(name) === "cli") {
      throw new UsageError(
        `simulate memory: --${name} describes synthetic traces, ${flags.trace} has its own`,
      );
    }
  }
  const opened = await nodePlatform().open(flags.trace);
  if ("folder" in opened) throw new UsageError(`${flags.trace}: is a folder, expected a trace file`);
  try {
    return { trace: await openTrace(opened.file), source: opened.file };
  } catch (error) {
    await opened.file.close();
    throw error;
  }
}

function readSetting(flags: MemoryFlags, header: TraceHeader): Omit<MemorySetting, "shape" | "dramBytes"> {
  const longest = Math.max(...header.sequences.map(({ promptTokens, tokens }) => promptTokens + tokens));
  const promptLength =
    flags.promptTokens ?? Math.max(...header.sequences.map((sequence) => sequence.promptTokens));
  const weight = flags.weightBits / 8;
  return {
    storage: {
      pinnedWeight: weight,
      mlpWeight: weight + (flags.scaleGroup === undefined ? 0 : 2 / flags.scaleGroup),
      keyValue: flags.kvBits / 8,
    },
    promptLength,
    sequenceLength: flags.context ?? (flags.trace === SYNTHETIC ? Math.max(2048, longest) : longest),
    pinEmbedding: flags.pinEmbedding === true,
    streamPinned: flags.streamPinned === true,
  };
}

function readLinks(flags: MemoryFlags, device: MemoryDevice) {
  const dramBytesPerSecond =
    flags.dramBandwidth === undefined ? device.dramBytesPerSecond : flags.dramBandwidth * 1e9;
  const flash = flags.flashBandwidth?.map((gigabytes) => gigabytes * 1e9) ?? [device.flashBytesPerSecond];
  return flash.map((flashBytesPerSecond) => ({
    dramBytesPerSecond,
    flashBytesPerSecond,
    timing: flags.timing,
  }));
}

function readDensities(flags: MemoryFlags, header: TraceHeader): (DipDensities | "recorded")[] {
  const { density, inputDensity, gluDensity } = flags;
  const pair = inputDensity !== undefined && gluDensity !== undefined;
  if (!pair && (inputDensity !== undefined || gluDensity !== undefined)) {
    throw new UsageError("simulate memory: --input-density and --glu-density belong together, got only one");
  }
  if (header.content === "columns") {
    if (density !== undefined || pair) {
      throw new UsageError(
        "simulate memory: the trace holds the columns of one density - leave --density out",
      );
    }
    return ["recorded"];
  }
  if (!pair) return (density ?? [0.5]).map(allocateDensities);
  if (density !== undefined) {
    throw new UsageError("simulate memory: give --density or --input-density with --glu-density, not both");
  }
  return [{ input: inputDensity, glu: gluDensity }];
}

function readPreferences(flags: MemoryFlags): CachePreference[] {
  return flags.gamma.map((gamma) => ({
    gamma,
    fixedTopN: flags.fixedTopN,
    warmUp: flags.warmUp === true,
    alphaBlend: flags.alphaBlend === true,
    ...(flags.topM === undefined ? {} : { topM: flags.topM }),
  }));
}
