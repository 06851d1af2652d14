/** `skim simulate record`: runs a model over a text and writes the trace that `simulate memory` replays. */
import type { Command } from "commander";
import { OptionError, UnsupportedError } from "../errors.ts";
import { ReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { readRecipes } from "../methods/recipes.ts";
import { loadProgram } from "../models/registry.ts";
import { createFileSink } from "../platform/node.ts";
import type { Model } from "../session/model.ts";
import { recordTrace } from "../simulation/memory/record-trace.ts";
import type { TransformerShape } from "../simulation/model-shapes.ts";
import { wholeNumber } from "./arguments.ts";
import { withInterrupt } from "./interrupt.ts";
import { loadFromFlags, MODEL_FLAG_TEXT } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { printNote, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface RecordFlags {
  readonly model: string;
  readonly text: string;
  readonly out: string;
  readonly promptTokens: number;
  readonly tokens: number;
  readonly sequences: number;
}

const EXAMPLES = `
Examples:
  $ skim simulate record --model llama.gguf --text wiki.txt --out run.trace
  $ skim simulate memory --trace run.trace --dram 0.001 --density 0.4,0.5,0.6 --gamma 1,0.2

The model reads the text dense, on the reference executor (slow: meant for small models). Of every sequence the first
--prompt-tokens are the prompt, which is not recorded. Scores are magnitudes at the MLP's input and before down; what a
mask would change in later layers is not in them.`;

export function addSimulateRecordCommand(group: Command, terminal: Terminal): void {
  group
    .command("record")
    .description("write a trace of a model's MLP activations for simulate memory")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", "UTF-8 text file")
    .requiredOption("--out <file>", "trace to write")
    .option("--prompt-tokens <n>", "tokens of each prompt, BOS included", wholeNumber(0), 16)
    .option("--tokens <n>", "recorded tokens per sequence", wholeNumber(1), 64)
    .option("--sequences <n>", "disjoint pieces of the text", wholeNumber(1, 100_000), 4)
    .action((flags: RecordFlags) => record(terminal, flags));
}

async function record(terminal: Terminal, flags: RecordFlags): Promise<void> {
  const text = await readTextFlag(flags.text, "--text");
  const length = flags.promptTokens + flags.tokens;
  await using model = await loadFromFlags(terminal, { model: flags.model, executor: "reference" }, length);
  const { executor } = model;
  if (!(executor instanceof ReferenceExecutor)) throw new Error("record: expected the reference executor");
  const sequences = cutSequences(model, text, flags);
  const shape = await readShape(model);
  await withInterrupt((signal) =>
    withProgress(terminal, "recording", "tokens", async (onProgress) =>
      recordTrace(executor, await createFileSink(flags.out), {
        shape,
        origin: `dense run of ${model.file.name} over a text`,
        sequences,
        promptTokens: flags.promptTokens,
        signal,
        onProgress,
      }),
    ),
  );
  printNote(
    terminal,
    `wrote ${flags.out}: ${flags.sequences} sequences of ${flags.tokens} tokens of ${shape.name}`,
  );
}

/**
 * Disjoint pieces of the text, each after a BOS where the model has one.
 * Throws OptionError when it is too short.
 */
function cutSequences(
  { tokenizer }: Model,
  text: string,
  { promptTokens, tokens, sequences }: RecordFlags,
): number[][] {
  const ids = tokenizer.encode(text, { addSpecial: false, parseSpecial: false });
  const start = tokenizer.bosId === undefined || promptTokens === 0 ? [] : [tokenizer.bosId];
  const length = promptTokens + tokens - start.length;
  if (ids.length < sequences * length) {
    throw new OptionError(
      `record: the text has ${ids.length} tokens, expected at least ${sequences * length} for ${sequences} sequences of ${length} - ` +
        "give a longer text, fewer --sequences or fewer --tokens",
    );
  }
  return Array.from({ length: sequences }, (_, i) => [...start, ...ids.slice(i * length, (i + 1) * length)]);
}

async function readShape(model: Model): Promise<TransformerShape> {
  if (readRecipes(model.file).some(({ method }) => method === "trimllm")) {
    throw new UnsupportedError(
      `${model.file.name}: is trimmed, expected layers of one shape - record the model it was made from`,
    );
  }
  const { parameters } = await loadProgram(model.file);
  const { layers, width, feedForwardWidth, heads, kvHeads, headWidth, vocabularySize } = parameters;
  const name = model.file.name.slice(-200);
  return { name, gated: true, layers, width, feedForwardWidth, heads, kvHeads, headWidth, vocabularySize };
}
