/**
 * `skim eval`: measures of quality. Here `perplexity`, how well a model predicts a text by a named protocol.
 */
import { type Command, Option } from "commander";
import {
  DEFAULT_WINDOWS,
  measurePerplexity,
  PERPLEXITY_PROTOCOLS,
  type PerplexityProtocol,
} from "../evaluation/perplexity.ts";
import { addColumnFlags, type ColumnFlags, loadWithColumns, printWithColumns } from "./column-flags.ts";
import { addArithmeticCommand } from "./eval-arithmetic.ts";
import { addChoiceCommand } from "./eval-choice.ts";
import { addQuantizationCommand } from "./eval-quantization.ts";
import { addSparsityCommand } from "./eval-sparsity.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface PerplexityFlags extends ColumnFlags {
  readonly text: string;
  readonly protocol: PerplexityProtocol;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim eval perplexity --model llama.gguf --text wiki.test.raw --protocol llama.cpp --context 512
  $ skim eval perplexity --model ./Qwen3-0.6B --text story.txt --protocol document --json
  $ skim eval perplexity --model llama.gguf --text t.txt --protocol hf --density 0.5 --gamma 0.2

Protocols (their numbers are not comparable with one another):
  llama.cpp  disjoint windows of --context tokens (default 512), BOS first, second half scored
  hf         windows of --context tokens (default: the model's) advancing by half, as transformers documents it
  gptq       disjoint windows of --context tokens (default 2048), all of each scored
  document   the whole text in one window from BOS`;

export function addEvalCommand(program: Command, terminal: Terminal): void {
  const group = program.command("eval").description("measure the quality of a model");
  addQuantizationCommand(group, terminal);
  addArithmeticCommand(group, terminal);
  addChoiceCommand(group, terminal);
  addSparsityCommand(group, terminal);
  const command = group
    .command("perplexity")
    .description("perplexity of a text file")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command))
    .requiredOption("--text <file>", "UTF-8 text file")
    .addOption(
      new Option("--protocol <name>", "how windows are cut and scored")
        .choices([...PERPLEXITY_PROTOCOLS])
        .makeOptionMandatory(),
    )
    .option("--json", "print one JSON object")
    .action((flags: PerplexityFlags) => evaluatePerplexity(terminal, flags));
}

async function evaluatePerplexity(terminal: Terminal, flags: PerplexityFlags): Promise<void> {
  const text = await readTextFlag(flags.text, "--text");
  await using model = await loadWithColumns(terminal, flags, DEFAULT_WINDOWS[flags.protocol]);
  await withInterrupt(async (signal) => {
    const { protocol, context = model.contextLength } = flags;
    const report = await withProgress(terminal, "scoring", "tokens", (onProgress) =>
      measurePerplexity(model, text, { protocol, context, signal, onProgress }),
    );
    printWithColumns(terminal, model, flags, report, () => {
      printLine(terminal, `perplexity   ${report.perplexity.toFixed(4)}`);
      printLine(terminal, `mean NLL     ${report.meanNll.toFixed(6)} nats per token`);
      printLine(terminal, `tokens       ${report.tokensScored} scored`);
      printLine(terminal, `protocol     ${report.protocol}, windows of ${report.context} tokens`);
      printLine(terminal, `text SHA-256 ${report.textSha256}`);
    });
  });
}
