/**
 * Every example of every --help is a command that parses: known words, known flags, values that flags take.
 * So is every step of a recipe, with each value of fields that have only a few.
 */
import { PassThrough } from "node:stream";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { buildCommand } from "./command-tree.ts";
import { argumentsOf } from "./pipeline/step-commands.ts";
import { type Step, stepSchema } from "./pipeline/step-schemas.ts";

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

/** The command that words begin with, after it has parsed the rest; fails when it does not know them all. */
function parsed(words: readonly string[]): Command {
  let command = newCommand();
  let rest = words;
  for (;;) {
    const below = command.commands.find((candidate) => candidate.name() === rest[0]);
    if (below === undefined) break;
    [command, rest] = [below, rest.slice(1)];
  }
  const { operands, unknown } = command.parseOptions([...rest]);
  expect(unknown).toEqual([]);
  expect(operands.length).toBeLessThanOrEqual(command.registeredArguments.length);
  return command;
}

describe("examples of --help", () => {
  const examples = [...new Set(examplesOf(newCommand()))];

  test("are found", () => expect(examples.length).toBeGreaterThan(80));

  test.each(examples)("%s", (example) => {
    const command = parsed(wordsOf(example));
    const missing = command.options.filter(
      (option) => option.mandatory && command.getOptionValue(option.attributeName()) === undefined,
    );
    expect(missing.map(({ long }) => long)).toEqual([]);
  });
});

test.each([
  [["train"], "2 rank", "q,k,v,o,gate,up,down"],
  [["train", "dip-repair"], "the rank", "gate,up,down"],
])("the help of %j has that command's own adapters", (words, alpha, targets) => {
  const texts = parsed(words).options.map(({ long, description }) => [long, description]);
  expect(Object.fromEntries(texts)).toMatchObject({
    "--lora-alpha": expect.stringContaining(`(default: ${alpha})`),
    "--lora-targets": expect.stringContaining(`(default: ${targets})`),
  });
});

test("default lists are shown as they are typed", () => {
  expect(parsed(["bench"]).helpInformation()).toContain("(default: 0)");
  expect(parsed(["simulate", "accelerator"]).helpInformation()).toContain("(default: 4,8)");
});

/** The values of a field that takes only a few; none of other fields. */
function valuesOf(field: unknown): unknown[] {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault) return valuesOf(field.unwrap());
  if (field instanceof z.ZodUnion) return field.options.flatMap(valuesOf);
  if (field instanceof z.ZodBoolean) return [true, false];
  if (field instanceof z.ZodLiteral) return [...field.values];
  return field instanceof z.ZodEnum ? field.options : [];
}

describe("steps of a recipe", () => {
  const settings = stepSchema.options.flatMap(({ shape: { step, ...fields } }) =>
    Object.entries(fields).flatMap(([field, schema]) =>
      valuesOf(schema).map((value) => ({ step: step.value, field, value })),
    ),
  );

  test("are found", () => expect(settings.length).toBeGreaterThan(30));

  test.each(settings)("$step with $field $value", ({ step, field, value }) => {
    const command = parsed(argumentsOf({ step, [field]: value } as Step, "in", "out", false));
    expect(command.getOptionValue(field)).toBe(value);
  });
});
