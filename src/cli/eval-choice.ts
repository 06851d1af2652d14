/** `skim eval choice`: multiple choice by likelihood, as lm-evaluation-harness scores it. */
import type { Command } from "commander";
import { FormatError } from "../errors.ts";
import { encodeQuestion, parseQuestions, questionLength } from "../evaluation/choice-questions.ts";
import { answerQuestions } from "../evaluation/multiple-choice.ts";
import { addColumnFlags, type ColumnFlags, loadWithColumns, printWithColumns } from "./column-flags.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface ChoiceFlags extends ColumnFlags {
  readonly data: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim eval choice --model ./SmolLM-135M --data questions.jsonl
  $ skim eval choice --model medical/size-07 --data medical-test.jsonl --json

Lines are {"prompt": ..., "options": [...], "answer": index of the right one}. The most likely option is the answer;
"per byte" divides likelihoods by the lengths of the options. Chance is what guessing gets. Prompts are read densely, so
methods that choose columns per generated token show here only behind the first token of an option.`;

export function addChoiceCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("choice")
    .description("accuracy on multiple-choice questions")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command))
    .requiredOption("--data <file>", "JSONL with prompt, options and answer")
    .option("--json", "print one JSON object")
    .action((flags: ChoiceFlags) => evaluate(terminal, flags));
}

async function evaluate(terminal: Terminal, flags: ChoiceFlags): Promise<void> {
  const texts = parseQuestions(flags.data, await readTextFlag(flags.data, "--data"));
  await using model = await loadWithColumns(terminal, flags);
  const all = texts.map((text) => encodeQuestion(text, model.tokenizer));
  const questions = all.filter((question) => questionLength(question) <= model.contextLength);
  const tooLong = all.length - questions.length;
  if (questions.length === 0) {
    throw new FormatError(
      `${flags.data}: no question fits, expected some of at most ${model.contextLength} tokens, got ${tooLong} longer ones - raise --context`,
    );
  }
  await withInterrupt(async (signal) => {
    const { stepTokens } = model.executor.limits;
    const report = await withProgress(terminal, "answering", "questions", (onProgress) =>
      model.withSequence(
        (sequence, queue) => answerQuestions(questions, { sequence, queue, stepTokens, signal, onProgress }),
        signal,
      ),
    );
    printWithColumns(terminal, model, flags, { ...report, tooLong }, () => {
      const percent = (share: number) => (100 * share).toFixed(2);
      printLine(terminal, `accuracy   ${percent(report.accuracy)} % +- ${percent(report.standardError)}`);
      printLine(terminal, `per byte   ${percent(report.normalizedAccuracy)} %`);
      printLine(terminal, `chance     ${percent(report.chance)} %`);
      printLine(terminal, `mean NLL   ${report.meanNll.toFixed(6)} nats per token of right options`);
      printLine(terminal, `questions  ${report.questions}, ${tooLong} longer than the context left out`);
    });
  });
}
