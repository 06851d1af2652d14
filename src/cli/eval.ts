/** `skim eval`: measures of quality. Here `perplexity`, how well a model predicts a text by a named protocol. */
import { type Command, Option } from "commander";
import {
  DEFAULT_WINDOWS,
  measurePerplexity,
  PERPLEXITY_PROTOCOLS,
  type PerplexityProtocol,
} from "../evaluation/perplexity.ts";
import { ReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { NO_PREFERENCE } from "../methods/dynamic-input-pruning/column-selection.ts";
import { CACHE_POLICIES, CachedColumns, type CachePolicy } from "../offload/cached-columns.ts";
import { selectsColumns } from "../program/dataflow.ts";
import type { Model } from "../session/model.ts";
import { RandomSource } from "../session/random.ts";
import { realNumber } from "./arguments.ts";
import { addArithmeticCommand } from "./eval-arithmetic.ts";
import { addChoiceCommand } from "./eval-choice.ts";
import { addQuantizationCommand } from "./eval-quantization.ts";
import { InterruptedError, UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags, loadFromFlags, type ModelFlags } from "./model-flags.ts";
import { startProgress } from "./progress.ts";
import { printJson, printLine, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface PerplexityFlags extends ModelFlags {
  readonly text: string;
  readonly protocol: PerplexityProtocol;
  readonly gamma?: number;
  readonly cacheShare?: number;
  readonly cachePolicy?: CachePolicy;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim eval perplexity --model llama.gguf --text wiki.test.raw --protocol llama.cpp --context 512
  $ skim eval perplexity --model ./Qwen3-0.6B --text story.txt --protocol document --json
  $ skim eval perplexity --model llama.gguf --text t.txt --protocol hf --density 0.5 --gamma 0.2 --executor reference

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
  const command = group
    .command("perplexity")
    .description("perplexity of a text file")
    .addHelpText("after", EXAMPLES);
  addModelFlags(command)
    .requiredOption("--text <file>", "UTF-8 text file")
    .addOption(
      new Option("--protocol <name>", "how windows are cut and scored")
        .choices([...PERPLEXITY_PROTOCOLS])
        .makeOptionMandatory(),
    )
    .option(
      "--gamma <factor>",
      "with --density: factor on the scores of columns that are not cached (DIP-CA; 1 prefers none)",
      realNumber(0, 1),
    )
    .option(
      "--cache-share <share>",
      "with --gamma: columns that each cache holds (default: 0.5)",
      realNumber(0, 1),
    )
    .addOption(
      new Option("--cache-policy <name>", "with --gamma: what leaves a full cache (default: lfu)").choices([
        ...CACHE_POLICIES,
      ]),
    )
    .option("--json", "print one JSON object")
    .action((flags: PerplexityFlags) => evaluatePerplexity(terminal, flags));
}

async function evaluatePerplexity(terminal: Terminal, flags: PerplexityFlags): Promise<void> {
  const text = await readTextFlag(flags.text, "--text");
  await using model = await loadFromFlags(terminal, flags, DEFAULT_WINDOWS[flags.protocol]);
  const cached = attachCaches(model, flags);
  await withInterrupt(async (signal) => {
    const progress = startProgress(terminal, "scoring", "tokens");
    const report = await measurePerplexity(model, text, {
      protocol: flags.protocol,
      context: flags.context ?? model.contextLength,
      signal,
      onProgress: (done, total) => progress.update(done, total),
    })
      .catch((error: unknown) => {
        throw signal.aborted ? new InterruptedError() : error;
      })
      .finally(() => progress.end());
    const cache = cached === undefined ? {} : { cache: { ...cacheSettings(flags), hitRate: cached.hitRate } };
    if (flags.json === true) {
      printJson(terminal, { ...report, ...cache });
      return;
    }
    printLine(terminal, `perplexity   ${report.perplexity.toFixed(4)}`);
    printLine(terminal, `mean NLL     ${report.meanNll.toFixed(6)} nats per token`);
    printLine(terminal, `tokens       ${report.tokensScored} scored`);
    printLine(terminal, `protocol     ${report.protocol}, windows of ${report.context} tokens`);
    printLine(terminal, `text SHA-256 ${report.textSha256}`);
    if (cached?.hitRate !== undefined) {
      printLine(terminal, `cache hits   ${(100 * cached.hitRate).toFixed(2)} % of the chosen columns`);
    }
  });
}

function cacheSettings({ gamma, cacheShare, cachePolicy }: PerplexityFlags) {
  return { gamma: gamma ?? 1, share: cacheShare ?? 0.5, policy: cachePolicy ?? ("lfu" as const) };
}

/** Puts column caches into the loop when --gamma asks for them. */
function attachCaches({ executor, program }: Model, flags: PerplexityFlags): CachedColumns | undefined {
  const { gamma, cacheShare, cachePolicy } = flags;
  if (gamma === undefined) {
    if (cacheShare === undefined && cachePolicy === undefined) return undefined;
    throw new UsageError("eval perplexity: --cache-share and --cache-policy say nothing without --gamma");
  }
  if (!selectsColumns(program)) {
    throw new UsageError("eval perplexity: --gamma needs columns to choose from - give --density as well");
  }
  if (!(executor instanceof ReferenceExecutor)) {
    throw new UsageError(
      "eval perplexity: --gamma runs on the reference executor so far - add --executor reference",
    );
  }
  const { share, policy } = cacheSettings(flags);
  const cached = new CachedColumns({
    preference: { ...NO_PREFERENCE, gamma },
    share,
    policy,
    createRandom: () => new RandomSource(0),
  });
  executor.chooseColumnsBy((op, x, position) => cached.choose(op, x, position));
  return cached;
}
