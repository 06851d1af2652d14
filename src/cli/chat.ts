/**
 * `skim chat`: a conversation. Lines from a terminal or a pipe are the user's turns; earlier turns stay in
 * the key/value cache, so each answer costs only what is new. Ctrl-C stops the answer; at the prompt, or a
 * second time, it quits.
 */
import { createInterface, type Interface } from "node:readline";
import type { Command } from "commander";
import { ContextOverflowError } from "../errors.ts";
import type { Model } from "../session/model.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import { addColumnFlags, type ColumnFlags, loadWithColumns } from "./column-flags.ts";
import { EXIT_INTERRUPTED } from "./failure.ts";
import { addGenerationFlags, type GenerationFlags, generationOptions } from "./generation-flags.ts";
import { addModelFlags } from "./model-flags.ts";
import { print, printNote, type Terminal } from "./terminal.ts";

interface ChatFlags extends ColumnFlags, GenerationFlags {
  readonly system?: string;
}

const EXAMPLES = `
Examples:
  $ skim chat --model llama.gguf
  $ skim chat --model ./Qwen3-0.6B --system "Answer like a pirate." --temperature 0.7

In the conversation: /clear starts over, /quit or Ctrl-D ends it, Ctrl-C stops an answer.`;

export function addChatCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("chat")
    .description("talk to a model in the terminal")
    .addHelpText("after", EXAMPLES);
  addColumnFlags(addModelFlags(command)).option("--system <text>", "system message at the start");
  addGenerationFlags(command).action((flags: ChatFlags) => chat(terminal, flags));
}

async function chat(terminal: Terminal, flags: ChatFlags): Promise<void> {
  await using model = await loadWithColumns(terminal, flags);
  // Refuses a model without a template before the user has typed anything.
  const opening = flags.system === undefined ? [] : [{ role: "system", content: flags.system }];
  model.renderChat([...opening, { role: "user", content: "" }]);
  const interactive = terminal.stdin.isTTY === true && terminal.stdout.isTTY === true;
  const lines = createInterface({
    input: terminal.stdin,
    output: interactive ? terminal.stdout : undefined,
    prompt: interactive ? "> " : "",
  });
  let answering: AbortController | undefined;
  const onInterrupt = () => {
    if (answering === undefined) lines.close();
    else if (answering.signal.aborted) process.exit(EXIT_INTERRUPTED);
    else answering.abort();
  };
  lines.on("SIGINT", onInterrupt);
  process.on("SIGINT", onInterrupt);
  try {
    await converse(terminal, model, lines, opening, async (messages) => {
      answering = new AbortController();
      try {
        return await answer(terminal, model, messages, flags, answering.signal);
      } finally {
        answering = undefined;
      }
    });
  } finally {
    process.off("SIGINT", onInterrupt);
    lines.close();
  }
}

/** Reads turns until the input ends. */
async function converse(
  terminal: Terminal,
  model: Model,
  lines: Interface,
  opening: readonly ChatMessage[],
  reply: (messages: readonly ChatMessage[]) => Promise<string>,
): Promise<void> {
  let messages = [...opening];
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/quit" || text === "/exit") return;
    if (text === "/clear") {
      messages = [...opening];
    } else if (text !== "") {
      const asked = [...messages, { role: "user", content: text }];
      try {
        messages = [...asked, { role: "assistant", content: await reply(asked) }];
      } catch (error) {
        if (!(error instanceof ContextOverflowError)) throw error;
        printNote(
          terminal,
          `skim: ${error.message} (/clear starts over; the context is ${model.contextLength} tokens)`,
        );
      }
    }
    lines.prompt();
  }
}

/** Prints the answer as it comes and returns it; an interrupted one counts as far as it came. */
async function answer(
  terminal: Terminal,
  model: Model,
  messages: readonly ChatMessage[],
  flags: ChatFlags,
  signal: AbortSignal,
): Promise<string> {
  const generation = model.chat(messages, generationOptions(flags, signal));
  for await (const piece of generation) print(terminal, piece.text);
  print(terminal, "\n");
  const { text, finishReason } = await generation.result();
  if (finishReason === "length")
    printNote(terminal, "[the answer was cut at --max-tokens or the end of the context]");
  return text;
}
