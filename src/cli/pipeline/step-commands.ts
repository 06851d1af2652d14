/**
 * The commands that do a step's work: from settings to the arguments of the same commands that a user would
 * type, which check, train, show progress and stop at Ctrl-C as they always do.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { sizeFolder, TRIM_STATE } from "../run-folder.ts";
import type { Step } from "./step-schemas.ts";

/** One command of a step. */
export interface StepCommand {
  readonly words: readonly string[];
  /** Training continues from its checkpoint where it was cut off; the others start over. */
  readonly resumable: boolean;
  /** Which of the folders that the command leaves holds the model, where that is not the whole. */
  readonly chosen?: (folder: string) => Promise<string>;
}

/** What a trimming run says about the size it chose. */
const trimSchema = z.object({ chosen: z.object({ round: z.int() }) });

async function readChosenSize(folder: string): Promise<string> {
  const { chosen } = trimSchema.parse(JSON.parse(await readFile(path.join(folder, TRIM_STATE), "utf8")));
  return sizeFolder(folder, chosen.round);
}

const COMMANDS: Readonly<Record<Step["step"], StepCommand>> = {
  tune: { words: ["train"], resumable: true },
  lora: { words: ["train"], resumable: true },
  "dip-repair": { words: ["train", "dip-repair"], resumable: true },
  spans: { words: ["train"], resumable: true },
  prosparse: { words: ["train", "prosparse"], resumable: true },
  neurons: { words: ["compress", "prosparse"], resumable: false },
  trim: { words: ["train", "trim"], resumable: true, chosen: readChosenSize },
  tender: { words: ["compress", "tender"], resumable: false },
  "input-groups": { words: ["compress", "input-groups"], resumable: false },
  dip: { words: ["compress", "dip"], resumable: false },
  drop: { words: ["compress", "drop"], resumable: false },
};

/** The command of a step. */
export function commandOf({ step }: Step): StepCommand {
  return COMMANDS[step];
}

/** Arguments of the command of `step`, from the model folder `input` to the new folder `out`. */
export function argumentsOf(step: Step, input: string, out: string, resume: boolean): string[] {
  const { step: name, ...settings } = step;
  const flags = Object.entries(settings).flatMap(([field, value]) => flagOf(field, value));
  const resumed = resume ? ["--resume"] : [];
  return [...COMMANDS[name].words, "--model", input, ...flags, "--out", out, ...resumed];
}

/** `learningRate: 0.001` as `--learning-rate 0.001`; a boolean turns the flag of its name on or off. */
function flagOf(field: string, value: unknown): string[] {
  const flag = field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  if (value === undefined) return [];
  if (value === true) return [`--${flag}`];
  if (value === false) return [`--no-${flag}`];
  return [`--${flag}`, String(value)];
}

/** A step in a few words: its name and what it sets. */
export function describeStep(step: Step): string {
  const { step: name, ...settings } = step;
  const shown = Object.entries(settings)
    .filter(([, value]) => typeof value === "number" || typeof value === "boolean")
    .slice(0, 3)
    .map(([field, value]) => `${field} ${value}`);
  return [name, ...shown].join(" ");
}
