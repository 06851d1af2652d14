/**
 * `skim bench`: speed, bytes per token and the share of the memory roofline, in the manner of llama-bench.
 */
import type { Command } from "commander";
import { type BenchmarkReport, runBenchmark } from "../evaluation/benchmark.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { parameterCount } from "../formats/tensor-layout.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { wholeNumber, wholeNumbers } from "./arguments.ts";
import { addColumnFlags, type ColumnFlags, loadWithColumns, printWithColumns } from "./column-flags.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { ProgressLine } from "./progress-line.ts";
import { formatSize, formatTable, printLine, type Terminal } from "./terminal.ts";

interface BenchFlags extends ColumnFlags {
  readonly promptTokens?: number[];
  readonly generatedTokens?: number[];
  readonly depth: number[];
  readonly repetitions: number;
  readonly json?: boolean;
}

const PROMPT_TOKENS = 512;
const GENERATED_TOKENS = 128;

const EXAMPLES = `
Examples:
  $ skim bench --model llama.gguf --threads 2
  $ skim bench --model llama.gguf --depth 0,1024,4096      # decode speed behind a filled context
  $ skim synth --shape tinyllama-1.1b --format q8_0 --out t.gguf && skim bench --model t.gguf --json

pp is prompt processing, tg token generation, "@ d1024" behind 1024 filled positions. The roofline is the memory
bandwidth that the same threads reach in this run; its share is bytes per token times tokens per second.`;

export function addBenchCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("bench")
    .description("measure speed, bytes per token and the memory roofline")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command))
    .option(
      "--prompt-tokens <n,...>",
      `lengths of the pp tests (default: ${PROMPT_TOKENS}, or what the model can see)`,
      wholeNumbers(1),
    )
    .option(
      "--generated-tokens <n,...>",
      `lengths of the tg tests (default: ${GENERATED_TOKENS}, or what the model can see)`,
      wholeNumbers(1),
    )
    .option("--depth <n,...>", "positions filled before each test", wholeNumbers(0), [0])
    .option("--repetitions <n>", "measurements after one warm-up", wholeNumber(1, 1000), 5)
    .option("--json", "print one JSON object")
    .action((flags: BenchFlags) => bench(terminal, flags));
}

async function bench(terminal: Terminal, flags: BenchFlags): Promise<void> {
  const platform = nodePlatform();
  const deepest = Math.max(...flags.depth);
  const room = Math.max(1, (flags.context ?? (await statedContext(flags.model))) - deepest);
  const promptTokens = flags.promptTokens ?? [Math.min(PROMPT_TOKENS, room)];
  const generatedTokens = flags.generatedTokens ?? [Math.min(GENERATED_TOKENS, room)];
  const longest = Math.max(...promptTokens, ...generatedTokens) + deepest;
  await using model = await loadWithColumns(terminal, flags, longest);
  await withInterrupt(async (signal) => {
    const line = new ProgressLine(terminal);
    const report = await runBenchmark(model, {
      promptTokens,
      generatedTokens,
      depths: flags.depth,
      repetitions: flags.repetitions,
      now: () => platform.now(),
      signal,
      onProgress: (test, repetition) =>
        line.show(`measuring ${test}, repetition ${repetition} of ${flags.repetitions}`),
    }).finally(() => line.clear());
    const threads = model.executor.name === "reference" ? 1 : (flags.threads ?? platform.coreCount);
    const summary = {
      model: model.file.name,
      parameters: parameterCount(model.file),
      weightBytes: model.executor.weightBytes,
      threads,
      roofline: report.roofline,
      tests: report.tests,
      peakMemoryBytes: platform.peakMemoryBytes(),
      runtime: platform.runtime,
    };
    printWithColumns(terminal, model, flags, summary, () => printReport(terminal, summary, report));
  });
}

/** Positions that the checkpoint says it can see. */
async function statedContext(path: string): Promise<number> {
  return withFile(
    await openModelFile(nodePlatform(), path),
    async (file) => (await loadRecipeProgram(file)).program.contextLength,
  );
}

function printReport(
  terminal: Terminal,
  summary: {
    model: string;
    parameters: number;
    weightBytes: number;
    threads: number;
    peakMemoryBytes: number;
    runtime: string;
  },
  report: BenchmarkReport,
): void {
  const { gigabytesPerSecond } = report.roofline;
  const rows = report.tests.map(({ name, tokensPerSecond, bytesPerToken, rooflineShare }) => [
    name,
    `${tokensPerSecond.mean.toFixed(2)} ± ${tokensPerSecond.stdev.toFixed(2)}`,
    tokensPerSecond.median.toFixed(2),
    formatSize(bytesPerToken),
    rooflineShare === null ? "-" : `${(rooflineShare * 100).toFixed(1)} %`,
  ]);
  const roofline =
    gigabytesPerSecond === null ? "not measured by this executor" : `${gigabytesPerSecond.toFixed(1)} GB/s`;
  printLine(terminal, `model     ${summary.model}`);
  printLine(
    terminal,
    `size      ${(summary.parameters / 1e6).toFixed(2)} M parameters, ${formatSize(summary.weightBytes)} of weights in memory`,
  );
  printLine(terminal, `runtime   ${summary.runtime}, ${summary.threads} threads`);
  printLine(terminal, `roofline  ${roofline}`);
  printLine(terminal, formatTable(["test", "t/s", "median", "read/token", "of roofline"], rows));
  printLine(terminal, `peak memory ${formatSize(summary.peakMemoryBytes)}`);
}
