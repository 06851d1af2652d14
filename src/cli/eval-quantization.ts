/** `skim eval quantization`: one table of quality, bytes and speed over quantization schemes. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { PERPLEXITY_PROTOCOLS, type PerplexityProtocol } from "../evaluation/perplexity.ts";
import { evaluateQuantization, type QuantizationRow } from "../evaluation/quantization.ts";
import { SCHEMES } from "../evaluation/quantization-schemes.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { collect, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { formatSize, formatTable, printJson, printLine, printNote, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface QuantizationFlags {
  readonly model: string;
  readonly text: string;
  readonly calibration?: string;
  readonly protocol: PerplexityProtocol;
  readonly context: number;
  readonly chunkRows: number;
  readonly segments: number;
  readonly scheme?: string[];
  readonly head: boolean;
  readonly speed: boolean;
  readonly clipping?: boolean;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly repetitions: number;
  readonly threads?: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim eval quantization --model llama.gguf --text story.txt --calibration other.txt
  $ skim eval quantization --model llama.gguf --text wiki.txt --protocol gptq --context 512 --no-speed --json
  $ skim eval quantization --model llama.gguf --text story.txt --scheme "Tender W8A8 flat" --scheme f32

Without --calibration the first half of the text calibrates and the second half is scored. Emulated schemes have the
rounding of the method and no kernels: they run on the reference executor, slowly, and show no speed.`;

export function addQuantizationCommand(group: Command, terminal: Terminal): void {
  group
    .command("quantization")
    .description("perplexity, bytes and speed of quantization schemes side by side")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", "UTF-8 text file to score")
    .option("--calibration <file>", "UTF-8 text file to calibrate on")
    .addOption(
      new Option("--protocol <name>", "how windows are cut and scored")
        .choices([...PERPLEXITY_PROTOCOLS])
        .default("document"),
    )
    .option("-c, --context <n>", "window length and context", wholeNumber(2), 512)
    .option("--chunk-rows <n>", "positions per range of the chunked schemes", wholeNumber(1), 128)
    .option("--segments <n>", "most calibration segments of --context tokens", wholeNumber(1), 128)
    .option("--scheme <name>", "only this scheme; may be given several times", collectScheme)
    .option("--no-head", "leave the output head as it is")
    .option("--no-speed", "measure quality and bytes only")
    .option("--clipping", "count clipped activations too, on the reference executor: slow")
    .option("--prompt-tokens <n>", "tokens of the prefill test", wholeNumber(1), 128)
    .option("--generated-tokens <n>", "tokens of the decode test", wholeNumber(1), 32)
    .option("--repetitions <n>", "repetitions of the speed tests", wholeNumber(1, 1000), 5)
    .option(...THREADS_FLAG)
    .option("--json", "print one JSON object")
    .action((flags: QuantizationFlags) => evaluate(terminal, flags));
}

function collectScheme(text: string, earlier: readonly string[] | undefined): string[] {
  const names = SCHEMES.map(({ name }) => name);
  if (!names.includes(text)) throw new InvalidArgumentError(`Expected one of ${names.join(", ")}.`);
  return collect(text, earlier);
}

async function evaluate(terminal: Terminal, flags: QuantizationFlags): Promise<void> {
  const texts = await readTexts(flags);
  const schemes = SCHEMES.filter(({ name }) => flags.scheme?.includes(name) !== false);
  const platform = nodePlatform();
  const threads = flags.threads ?? platform.coreCount;
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(platform, flags.model), async (file) => {
      const rows = await evaluateQuantization(platform, file, await loadTokenizer(file), texts, {
        schemes,
        protocol: flags.protocol,
        context: flags.context,
        chunkRows: flags.chunkRows,
        head: flags.head,
        speed: flags.speed
          ? {
              promptTokens: flags.promptTokens,
              generatedTokens: flags.generatedTokens,
              repetitions: flags.repetitions,
            }
          : undefined,
        clipping: flags.clipping === true,
        prepare: { segmentTokens: flags.context, maxSegments: flags.segments, threads, signal },
        signal,
        onScheme: (name, index, count) => printNote(terminal, `${index + 1}/${count} ${name}`),
      });
      const report = {
        model: file.name,
        protocol: flags.protocol,
        context: flags.context,
        chunkRows: flags.chunkRows,
        threads,
        runtime: platform.runtime,
        rows,
      };
      if (flags.json === true) printJson(terminal, report);
      else printTable(terminal, rows);
    }),
  );
}

async function readTexts(flags: QuantizationFlags): Promise<{ calibration: string; scored: string }> {
  const text = await readTextFlag(flags.text, "--text");
  if (flags.calibration !== undefined) {
    return { calibration: await readTextFlag(flags.calibration, "--calibration"), scored: text };
  }
  const middle = text.lastIndexOf(" ", text.length / 2) + 1;
  return { calibration: text.slice(0, middle), scored: text.slice(middle) };
}

function printTable(terminal: Terminal, rows: readonly QuantizationRow[]): void {
  const speed = (value: number | null) => (value === null ? "-" : value.toFixed(1));
  const header = [
    "scheme",
    "runs",
    "W",
    "A",
    "perplexity",
    "mean NLL",
    "weights",
    "read/token",
    "prefill t/s",
    "decode t/s",
    "clipped",
  ];
  const cells = rows.map((row) => [
    row.scheme,
    row.runs,
    String(row.weightBits),
    String(row.activationBits),
    row.perplexity.toFixed(4),
    row.meanNll.toFixed(5),
    formatSize(row.weightBytes),
    formatSize(row.bytesPerToken),
    speed(row.prefillTokensPerSecond),
    speed(row.decodeTokensPerSecond),
    row.clippedShare === null ? "-" : `${(row.clippedShare * 100).toFixed(4)} %`,
  ]);
  printLine(terminal, formatTable(header, cells));
}
