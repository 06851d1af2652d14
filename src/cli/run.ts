/** `skim run`: one prompt in, its continuation or answer out, as it is made. */
import type { Command } from "commander";
import type { Generation } from "../session/generation.ts";
import type { GenerationResult, Piece } from "../session/generation-record.ts";
import type { Model } from "../session/model.ts";
import { wholeNumber } from "./arguments.ts";
import {
  addColumnFlags,
  type ColumnFlags,
  type ColumnReport,
  columnLine,
  columnReport,
  loadWithColumns,
  notePageCache,
} from "./column-flags.ts";
import { InterruptedError, UsageError } from "./failure.ts";
import { addGenerationFlags, type GenerationFlags, generationOptions } from "./generation-flags.ts";
import { withInterrupt } from "./interrupt.ts";
import { addModelFlags } from "./model-flags.ts";
import { readStandardInput } from "./standard-input.ts";
import { formatSize, print, printJson, printNote, type Terminal } from "./terminal.ts";

export interface RunFlags extends ColumnFlags, GenerationFlags {
  readonly prompt?: string;
  readonly system?: string;
  readonly raw?: boolean;
  readonly logprobs?: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim run --model llama.gguf --prompt "Why is the sky blue?"
  $ skim run --model story.gguf --raw --prompt "Once upon a time" --temperature 0 --max-tokens 200
  $ skim run --model llama.gguf --density 0.5 --gamma 0.2 --prompt "Once"   # choose what a cache would hold
  $ skim run --model llama.gguf --columns llama.columns --memory-budget 2GB --density 0.5 --prompt "Once"
  $ cat letter.txt | skim run --model ./Qwen3-0.6B --system "Summarize in one sentence." --json

A model with a chat template answers the prompt as a message; with --raw, or without a template, it continues the text.
An empty prompt (--prompt "") starts from the model's BOS token.`;

export function addRunCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("run")
    .description("generate text from a prompt")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command));
  addRunFlags(command).action((flags: RunFlags) => run(terminal, flags));
}

/** The flags of `run` but the model's. */
export function addRunFlags(command: Command): Command {
  command
    .option("-p, --prompt <text>", "the prompt; - reads it from stdin, as does leaving it out in a pipe")
    .option("--system <text>", "system message before the prompt")
    .option("--raw", "continue the prompt as plain text, without the chat template");
  return addGenerationFlags(command)
    .option("--logprobs <n>", "with --json: log-probabilities, and the n best per token", wholeNumber(0))
    .option("--json", "print one JSON object with text, tokens, timing and bytes read");
}

export async function run(terminal: Terminal, flags: RunFlags): Promise<void> {
  if (flags.raw === true && flags.system !== undefined) {
    throw new UsageError(
      "run: --system needs the chat template, which --raw leaves out - give one of the two",
    );
  }
  if (flags.logprobs !== undefined && flags.json !== true) {
    throw new UsageError("run: --logprobs are part of the JSON output - add --json");
  }
  const prompt = await readPrompt(terminal, flags.prompt);
  await using model = await loadWithColumns(terminal, flags);
  await withInterrupt(async (signal) => {
    const options = { ...generationOptions(flags, signal), logprobs: flags.logprobs };
    const generation = isChat(terminal, model, flags)
      ? model.chat(messages(flags.system, prompt), options)
      : model.generate(prompt, options);
    const pieces = await stream(terminal, generation, flags.json === true);
    const result = await generation.result();
    const columns = columnReport(model, flags);
    if (flags.json === true) {
      printJson(terminal, { ...toJson(result, pieces, flags.logprobs), ...(columns && { columns }) });
    } else printSummary(terminal, result, columns);
    notePageCache(terminal, columns);
    if (result.finishReason === "aborted") throw new InterruptedError();
  });
}

async function readPrompt(terminal: Terminal, given: string | undefined): Promise<string> {
  if (given !== undefined && given !== "-") return given;
  if (terminal.stdin.isTTY === true) {
    throw new UsageError('run: no prompt, expected --prompt "text" or text piped into stdin');
  }
  const text = await readStandardInput(terminal, "the prompt");
  if (text === "") {
    throw new UsageError(
      'run: no prompt, stdin was empty - give --prompt "text" (--prompt "" starts from nothing)',
    );
  }
  // What `echo` and editors append is not part of the prompt.
  return text.replace(/\r?\n$/, "");
}

/** Whether the prompt is a message; says so when the model leaves no choice. */
function isChat(terminal: Terminal, model: Model, flags: RunFlags): boolean {
  if (flags.raw === true) return false;
  if (model.chatTemplate !== undefined) return true;
  if (flags.system !== undefined) {
    throw new UsageError(`run: --system needs a chat template and ${model.file.name} has none`);
  }
  printNote(
    terminal,
    "note: the model has no chat template, so it continues the prompt as text (as with --raw)",
  );
  return false;
}

function messages(system: string | undefined, prompt: string): { role: string; content: string }[] {
  const user = { role: "user", content: prompt };
  return system === undefined ? [user] : [{ role: "system", content: system }, user];
}

/** Prints text as it comes unless it is to be part of a JSON object; returns the pieces. */
async function stream(terminal: Terminal, generation: Generation, silent: boolean): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of generation) {
    pieces.push(piece);
    if (!silent) print(terminal, piece.text);
  }
  // A terminal's next prompt starts on its own line; a file or a pipe gets the text and nothing else.
  if (!silent && terminal.stdout.isTTY === true) print(terminal, "\n");
  return pieces;
}

function toJson(result: GenerationResult, pieces: readonly Piece[], logprobs: number | undefined): object {
  const { text, tokenIds, promptTokenIds, finishReason, timing, reads, spans } = result;
  const summary = { text, tokenIds, promptTokenIds, finishReason, timing, reads, ...(spans && { spans }) };
  if (logprobs === undefined) return summary;
  return {
    ...summary,
    logprobs: pieces.map(({ tokenId, logprob, topLogprobs }) => ({ tokenId, logprob, topLogprobs })),
  };
}

function printSummary(terminal: Terminal, result: GenerationResult, columns: ColumnReport | undefined): void {
  const { timing, reads, tokenIds, promptTokenIds, finishReason, seed } = result;
  printNote(
    terminal,
    `[prompt ${promptTokenIds.length} tokens, ${timing.prefillTokensPerSecond.toFixed(1)}/s; ` +
      `generated ${tokenIds.length}, ${timing.decodeTokensPerSecond.toFixed(1)}/s; ` +
      `${formatSize(reads.bytesPerToken)} read per token; ${finishReason}; seed ${seed}]`,
  );
  printSpans(terminal, result.spans);
  if (columns !== undefined) printNote(terminal, `[${columnLine(columns)}]`);
}

function printSpans(terminal: Terminal, spans: GenerationResult["spans"]): void {
  if (spans === undefined) return;
  const mistakes = Object.entries(spans.errors).filter(([, count]) => count > 0);
  const kinds = mistakes.map(([kind, count]) => `${count} ${kind}`).join(", ");
  printNote(
    terminal,
    `[spans: ${spans.valid} of ${spans.statements} statements followed${kinds === "" ? "" : ` (${kinds})`}; ` +
      `${((100 * spans.positionsRead) / Math.max(1, spans.positionsInAll)).toFixed(1)} % of the context attended to]`,
  );
}
