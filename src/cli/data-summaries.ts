/**
 * `skim data summaries`: articles with summaries,
 * annotated with the sentences each summary sentence rests on.
 */
import type { Command } from "commander";
import { z } from "zod";
import { parseJsonLine } from "../formats/json-lines.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { writeCompletely } from "../formats/tensor-source.ts";
import { type Split, splitOf } from "../methods/attention-span/arithmetic.ts";
import { statedHeaders } from "../methods/attention-span/control-tokens.ts";
import {
  MOST_SENTENCES,
  MOST_TOKENS,
  type SummaryExample,
  summaryExample,
} from "../methods/attention-span/summaries.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { embeddedModelPath } from "./embedded-models.ts";
import { withInterrupt } from "./interrupt.ts";
import { type OnProgress, withProgress } from "./progress.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface SummariesFlags {
  readonly articles: string;
  readonly tokenizer?: string;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim data summaries --articles news.jsonl --out spans.jsonl
  $ skim data summaries --articles news.jsonl --tokenizer ./SmolLM-135M --out spans.jsonl

Lines of the input are {"article": ..., "summary": ...}. Lines of the output have the article's sentences numbered, and
before each summary sentence the numbers of those it rests on: those that share most of its content words. Articles of
more than ${MOST_SENTENCES} sentences or ${MOST_TOKENS} tokens are left out. "split" says where a line belongs: train, valid or test.`;

/** Lines between two checks for Ctrl-C. */
const PIECE = 50;

const lineSchema = z.object({ article: z.string(), summary: z.string() });
const EXPECTED = '{"article": ..., "summary": ...}';

export function addSummariesDataCommand(group: Command, terminal: Terminal): void {
  group
    .command("summaries")
    .description("annotate articles and summaries with attention spans")
    .addHelpText("after", EXAMPLES)
    .requiredOption("--articles <file>", "JSONL with article and summary")
    .option("--tokenizer <path>", "model whose tokenizer counts tokens (default: the embedded tales)")
    .requiredOption("--out <file>", "JSONL file to write")
    .option("--json", "print one JSON object at the end")
    .action((flags: SummariesFlags) => writeSummaries(terminal, flags));
}

interface Totals {
  readonly examples: Record<Split, number>;
  tooLong: number;
  empty: number;
  statements: number;
  everything: number;
  references: number;
}

async function writeSummaries(terminal: Terminal, flags: SummariesFlags): Promise<void> {
  const text = await readTextFlag(flags.articles, "--articles");
  const countTokens = await tokenCounter(flags.tokenizer ?? embeddedModelPath("tales"));
  const totals: Totals = {
    examples: { train: 0, valid: 0, test: 0 },
    tooLong: 0,
    empty: 0,
    statements: 0,
    everything: 0,
    references: 0,
  };
  const sink = await createFileSink(flags.out);
  const annotateLine = async (line: string, number: number) => {
    const where = `${flags.articles}: line ${number}`;
    const { article, summary } = parseJsonLine(where, line, lineSchema, EXPECTED);
    const annotated = annotate(article, summary, countTokens, totals);
    if (annotated === undefined) return;
    await sink.write(new TextEncoder().encode(`${JSON.stringify(annotated)}\n`));
  };
  await withInterrupt((signal) =>
    withProgress(terminal, "annotating", "articles", (onProgress) =>
      writeCompletely(sink, () => forEachLine(text, annotateLine, signal, onProgress)),
    ),
  );
  report(terminal, flags, totals);
}

/** Visits lines that are not empty, counted from 1, and lets Ctrl-C arrive now and then. */
async function forEachLine(
  text: string,
  visit: (line: string, number: number) => Promise<void>,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<void> {
  const lines = text.split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() !== "") await visit(line, index + 1);
    if ((index + 1) % PIECE !== 0) continue;
    onProgress(index + 1, lines.length);
    await new Promise<void>((resolve) => setTimeout(resolve));
    signal.throwIfAborted();
  }
}

function annotate(
  article: string,
  summary: string,
  countTokens: (text: string) => number,
  totals: Totals,
): (SummaryExample & { readonly split: Split }) | undefined {
  if (countTokens(article) > MOST_TOKENS) {
    totals.tooLong++;
    return undefined;
  }
  const example = summaryExample(article, summary);
  if (example === undefined) {
    totals.empty++;
    return undefined;
  }
  const split = splitOf(article);
  totals.examples[split]++;
  for (const header of statedHeaders(example.answer)) {
    const spec = header.slice(header.indexOf(":") + 1);
    totals.statements++;
    if (spec === "*") totals.everything++;
    else totals.references += spec.split(",").length;
  }
  return { ...example, split };
}

async function tokenCounter(path: string): Promise<(text: string) => number> {
  return withFile(await openModelFile(nodePlatform(), path), async (file) => {
    const tokenizer = await loadTokenizer(file);
    return (text) => tokenizer.encode(text, { addSpecial: false, parseSpecial: false }).length;
  });
}

function report(terminal: Terminal, flags: SummariesFlags, totals: Totals): void {
  if (flags.json === true) {
    printJson(terminal, { out: flags.out, ...totals });
    return;
  }
  const { train, valid, test } = totals.examples;
  const named = totals.statements - totals.everything;
  printNote(
    terminal,
    `wrote ${flags.out}: ${train} train, ${valid} valid, ${test} test; ${totals.tooLong} longer than ${MOST_TOKENS} tokens and ${totals.empty} of no or too many sentences left out`,
  );
  printNote(
    terminal,
    `${totals.statements} statements: ${totals.everything} ask for everything, the others name ${(totals.references / Math.max(1, named)).toFixed(2)} segments each`,
  );
}
