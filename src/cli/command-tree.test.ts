/** Every example of every --help is a command that parses: known words, known flags, values that flags take. */
import { PassThrough } from "node:stream";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { buildCommand } from "./command-tree.ts";

function newCommand(output: PassThrough = new PassThrough()): Command {
  return buildCommand({ stdin: new PassThrough(), stdout: output, stderr: output });
}

/** The examples of a command and of those below it. */
function examplesOf(command: Command): string[] {
  const text: string[] = [];
  command.configureOutput({ writeOut: (piece) => text.push(piece) }).outputHelp();
  const own = [...text.join("").matchAll(/^ {2}\$ skim (.*)$/gm)].map(([, example]) => example);
  return [...own, ...command.commands.flatMap(examplesOf)];
}

/** Words as a shell splits them, up to a comment, a pipe or another command. */
function wordsOf(example: string): string[] {
  const words = [...example.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c);
  const end = words.findIndex((word) => ["#", "|", "&&", ">"].includes(word));
  return end < 0 ? words : words.slice(0, end);
}

describe("examples of --help", () => {
  const examples = [...new Set(examplesOf(newCommand()))];

  test("are found", () => expect(examples.length).toBeGreaterThan(80));

  test.each(examples)("%s", (example) => {
    let command = newCommand();
    let words = wordsOf(example);
    for (;;) {
      const below = command.commands.find((candidate) => candidate.name() === words[0]);
      if (below === undefined) break;
      [command, words] = [below, words.slice(1)];
    }
    const { operands, unknown } = command.parseOptions(words);
    expect(unknown).toEqual([]);
    expect(operands.length).toBeLessThanOrEqual(command.registeredArguments.length);
    const missing = command.options.filter(
      (option) => option.mandatory && command.getOptionValue(option.attributeName()) === undefined,
    );
    expect(missing.map(({ long }) => long)).toEqual([]);
  });
});
