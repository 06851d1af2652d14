/**
 * `skim eval sparsity`: how many feed-forward neurons do nothing, per layer and per text, by three measures.
 */
import type { Command } from "commander";
import { Option } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { readSegments, SEGMENT_TOKENS } from "../methods/calibration-segments.ts";
import {
  SEARCH_PRECISION,
  searchTruncation,
  type Truncation,
} from "../methods/prosparse/perplexity-sparsity.ts";
import { measureSparsity, type SparsityReport } from "../methods/prosparse/sparsity.ts";
import { explainTensors, loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import type { Program } from "../program/program.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { collect, realNumber, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { formatTable, printJson, printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface SparsityFlags {
  readonly model: string;
  readonly text: readonly string[];
  readonly of: "x1" | "gates";
  readonly pplPercent?: number;
  readonly cett?: number;
  readonly characters: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** All that is measured on one text. */
interface TextReport extends SparsityReport {
  readonly text: string;
  readonly densePerplexity?: number;
  readonly pplPercent?: Truncation & { readonly percent: number };
  readonly cett?: Truncation;
}

const EXAMPLES = `
Examples:
  $ skim eval sparsity --model tales-relu --text novels.txt --text news.txt
  $ skim eval sparsity --model models/tales --text novels.txt --ppl-percent 1
  $ skim eval sparsity --model models/tales --text novels.txt --cett 0.2 --json

Measures:
  zeros        share of exact zeros of act(gate) * up (--of gates: of closed gates), as ProSparse defines sparsity
  PPL-p %      share of neurons that may be left out before perplexity grows by --ppl-percent, those with the smallest
               outputs first, all layers at the same error (Sparsing Law); for models of any activation
  CETT         the same at a given error of the feed-forward's output instead (ReLU^2 Wins)
Several --text are several data sets: sparsity differs between them.`;

export function addSparsityCommand(group: Command, terminal: Terminal): void {
  group
    .command("sparsity")
    .description("share of feed-forward neurons that do nothing, per layer and per text")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", "a text; several times for several data sets", collect)
    .addOption(
      new Option("--of <what>", "which zeros count: of act(gate) * up, or closed gates")
        .choices(["x1", "gates"])
        .default("x1"),
    )
    .option("--ppl-percent <p>", "also measure PPL-p % sparsity at this p", realNumber(0, 1000))
    .option("--cett <error>", "also measure sparsity at this error of the outputs", realNumber(0, 1))
    .option("--characters <n>", "how much of each text is used", wholeNumber(1000), 20_000)
    .option(...THREADS_FLAG)
    .option("--json", "print one JSON object")
    .action((flags: SparsityFlags) => evaluate(terminal, flags));
}

interface Measured {
  readonly file: ModelFile;
  readonly program: Program;
  readonly tokenizer: Tokenizer;
  readonly signal: AbortSignal;
}

async function evaluate(terminal: Terminal, flags: SparsityFlags): Promise<void> {
  const texts = await Promise.all(
    flags.text.map(async (name) => ({ name, text: await readTextFlag(name, "--text") })),
  );
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (opened) => {
      const file = explainTensors(opened);
      const { program } = await loadRecipeProgram(file);
      const measured = { file, program, tokenizer: await loadTokenizer(file), signal };
      const reports: TextReport[] = [];
      for (const { name, text } of texts) {
        reports.push(await measureText(terminal, flags, measured, name, text.slice(0, flags.characters)));
      }
      report(terminal, flags, reports);
    }),
  );
}

async function measureText(
  terminal: Terminal,
  flags: SparsityFlags,
  { file, program, tokenizer, signal }: Measured,
  name: string,
  text: string,
): Promise<TextReport> {
  const platform = nodePlatform();
  const context = Math.min(SEGMENT_TOKENS, program.contextLength);
  const options = {
    segments: await readSegments(file, text, {
      segmentTokens: context,
      maxSegments: Number.POSITIVE_INFINITY,
    }),
    threads: flags.threads ?? platform.coreCount,
    signal,
  };
  const { of, pplPercent: percent, cett } = flags;
  const zeros = await withProgress(terminal, `counting zeros in ${name}`, "tokens", (onProgress) =>
    measureSparsity(platform, file, program, { ...options, of, onProgress }),
  );
  if (percent === undefined && cett === undefined) return { text: name, ...zeros };
  return withProgress(terminal, `searching in ${name}`, "perplexities", async (onTrial) => {
    const search = { ...options, text, context, precision: SEARCH_PRECISION, onTrial };
    const found = await searchTruncation(platform, file, program, tokenizer, search);
    return {
      text: name,
      ...zeros,
      densePerplexity: found.densePerplexity,
      ...(percent === undefined ? {} : { pplPercent: { percent, ...(await found.forPercent(percent)) } }),
      ...(cett === undefined ? {} : { cett: await found.at(cett) }),
    };
  });
}

function report(terminal: Terminal, flags: SparsityFlags, reports: readonly TextReport[]): void {
  if (flags.json === true) return printJson(terminal, { model: flags.model, of: flags.of, texts: reports });
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  for (const { text, sparsity, percentiles, tokens, layers, densePerplexity, ...more } of reports) {
    const truncations: [string, Truncation][] = [];
    if (more.pplPercent !== undefined)
      truncations.push([`PPL-${more.pplPercent.percent} %`, more.pplPercent]);
    if (more.cett !== undefined) truncations.push([`CETT ${more.cett.cett}`, more.cett]);
    const header = [
      "layer",
      flags.of === "x1" ? "zeros" : "closed gates",
      ...truncations.map(([name]) => name),
    ];
    const rows = layers.map((share, layer) => [
      String(layer),
      percent(share),
      ...truncations.map(([, truncation]) => percent(truncation.layers[layer])),
    ]);
    const mean = ["mean", percent(sparsity), ...truncations.map(([, found]) => percent(found.sparsity))];
    printLine(terminal, `${text}: ${tokens} tokens`);
    printLine(terminal, formatTable(header, [...rows, mean]));
    const { p10, p50, p90 } = percentiles;
    printLine(
      terminal,
      `tokens: 10 % below ${percent(p10)}, half below ${percent(p50)}, 10 % above ${percent(p90)}`,
    );
    for (const [name, { cett, perplexity }] of truncations) {
      const dense = densePerplexity?.toFixed(4);
      printLine(
        terminal,
        `${name}: perplexity ${perplexity.toFixed(4)} instead of ${dense}, CETT ${cett.toFixed(6)}`,
      );
    }
  }
}
