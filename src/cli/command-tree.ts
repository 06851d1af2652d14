/** The tree of `skim`'s commands, one file per command; main.ts runs it. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addBenchCommand } from "./bench.ts";
import { addChatCommand } from "./chat.ts";
import { addCompressCommand } from "./compress.ts";
import { addDataCommand } from "./data.ts";
import { addEvalCommand } from "./eval.ts";
import { addInspectCommand } from "./inspect.ts";
import { addReportCommand } from "./report.ts";
import { addRunCommand } from "./run.ts";
import { addSimulateCommand } from "./simulate.ts";
import { addStartCommand } from "./start.ts";
import { addSynthCommand } from "./synth.ts";
import type { Terminal } from "./terminal.ts";
import { addTokenizeCommand } from "./tokenize.ts";
import { addTrainCommand } from "./train.ts";

const EXAMPLES = `
Examples:
  $ skim run --model llama.gguf --prompt "Why is the sky blue?"
  $ skim chat --model ./Qwen3-0.6B
  $ skim bench --model llama.gguf --depth 0,1024
  $ skim eval perplexity --model llama.gguf --text wiki.txt --protocol llama.cpp
  $ skim inspect --model llama.gguf

skim <command> --help explains each command. Results go to stdout, everything else to stderr.
Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.`;

/** The whole command; what it prints goes to `terminal`. */
export function buildCommand(terminal: Terminal): Command {
  const program = new Command("skim")
    .description("Runs language models that read less.")
    .version(readVersion(), "--version", "print the version")
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .exitOverride()
    // A flag belongs to the last command before it:
    // groups may have flags of the same names as their subcommands.
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(`${usageLine(text)}\n`),
    });
  addRunCommand(program, terminal);
  addChatCommand(program, terminal);
  addBenchCommand(program, terminal);
  addEvalCommand(program, terminal);
  addCompressCommand(program, terminal, async (argv) => {
    await buildCommand(terminal).parseAsync(argv, { from: "user" });
  });
  addTokenizeCommand(program, terminal);
  addInspectCommand(program, terminal);
  addSimulateCommand(program, terminal);
  addSynthCommand(program, terminal);
  addTrainCommand(program, terminal);
  addDataCommand(program, terminal);
  addReportCommand(program, terminal);
  addStartCommand(program, terminal);
  describeLists(program);
  return program;
}

/** Default lists in help texts look like what is typed, "4,8" instead of "[4,8]". */
function describeLists(command: Command): void {
  for (const option of command.options) {
    const { defaultValue } = option;
    if (Array.isArray(defaultValue)) option.default(defaultValue, defaultValue.join(","));
  }
  for (const below of command.commands) describeLists(below);
}

/** Of this package, whether the sources or the built files run. */
function readVersion(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return manifest.version;
}

/** commander's two-line messages as one line in skim's style. */
function usageLine(text: string): string {
  return `skim: ${text
    .replace(/^error: /, "")
    .trim()
    .replace(/\s*\n\s*/g, " ")}`;
}
