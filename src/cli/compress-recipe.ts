/**
 * `skim compress --recipe`: several methods on one model, one after the other. Each step writes a
 * complete model folder in OUT.partial, is measured and recorded; the last folder becomes OUT. Nothing
 * finished is ever done twice.
 */
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ResourceError } from "../errors.ts";
import { type ModelFacts, measureModel } from "../evaluation/model-facts.ts";
import { nodePlatform } from "../platform/node.ts";
import { loadModelOn } from "../session/load-model.ts";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import {
  clearStage,
  evaluationKey,
  modelKey,
  parsedJson,
  readStages,
  type Stage,
  stepKey,
  writeStages,
} from "./pipeline/pipeline-state.ts";
import { type Evaluation, type RecipeFile, readRecipeFile } from "./pipeline/recipe-file.ts";
import { formatStage, STAGE_HEADER } from "./pipeline/stage-table.ts";
import { argumentsOf, commandOf, describeStep } from "./pipeline/step-commands.ts";
import type { Step } from "./pipeline/step-schemas.ts";
import { withProgress } from "./progress.ts";
import { CHECKPOINT, createRunFolder } from "./run-folder.ts";
import { printJson, printLine, printNote, type Terminal } from "./terminal.ts";
import { readTextFlag, writeTextFile } from "./text-file.ts";

export interface RecipeFlags {
  readonly recipe: string;
  readonly model: string;
  readonly out: string;
  readonly json?: boolean;
}

/** Runs a skim command given as arguments, as if it had been typed. */
export type RunCommand = (argv: readonly string[]) => Promise<void>;

/** Written into OUT: the recipe and what every stage measured. */
const REPORT = "compression.json";

interface Pipeline {
  readonly terminal: Terminal;
  readonly flags: RecipeFlags;
  readonly run: RunCommand;
  readonly recipe: RecipeFile;
  /** Working folder. */
  readonly work: string;
  /** Keys of all stages, the source first: what each one's result depends on. */
  readonly keys: readonly string[];
  /** Finished stages. */
  readonly stages: Stage[];
  readonly measureKey: string;
}

/** Runs the recipe of `flags`. `run` executes the commands of the steps. */
export async function compressByRecipe(
  terminal: Terminal,
  flags: RecipeFlags,
  run: RunCommand,
): Promise<void> {
  const recipe = await readRecipeFile(flags.recipe);
  const work = `${path.resolve(flags.out)}.partial`;
  const keys = await stageKeys(flags.model, recipe);
  if (existsSync(flags.out)) {
    const stages = await recordedStages(flags.out, keys[keys.length - 1]);
    if (stages === undefined) {
      throw new ResourceError(`${flags.out}: exists already, expected a new folder - choose another name`);
    }
    await clearStage(work);
    printNote(terminal, `${flags.out} is up to date with the recipe, nothing to do`);
    if (flags.json === true) printJson(terminal, { out: flags.out, stages });
    return;
  }
  const measureKey = await evaluationKey(recipe.evaluate);
  await createRunFolder(work);
  const recorded = await readStages(work);
  const matching = recorded.findIndex(({ key }, i) => key !== keys[i]);
  const stages = matching < 0 ? recorded.slice(0, keys.length) : recorded.slice(0, matching);
  const pipeline: Pipeline = { terminal, flags, run, recipe, work, keys, stages, measureKey };
  await removeOutdated(pipeline);
  try {
    await runStages(pipeline);
  } catch (error) {
    const kept = stages.length - 1;
    if (kept > 0 || error instanceof InterruptedError) {
      printNote(
        terminal,
        `${Math.max(0, kept)} of ${recipe.steps.length} steps are kept in ${work} - the same command continues`,
      );
    }
    throw error;
  }
}

/** What the folder says its stages measured; undefined when it is not the result that `key` stands for. */
async function recordedStages(folder: string, key: string): Promise<readonly unknown[] | undefined> {
  const text = await readFile(path.join(folder, REPORT), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const outcome = z.object({ key: z.literal(key), stages: z.array(z.unknown()) }).safeParse(parsedJson(text));
  return outcome.data?.stages;
}

/** Keys of the source and of every step's result. */
async function stageKeys(model: string, { steps }: RecipeFile): Promise<string[]> {
  const keys = [await modelKey(model)];
  for (const step of steps) keys.push(await stepKey(keys[keys.length - 1], step));
  return keys;
}

async function runStages(pipeline: Pipeline): Promise<void> {
  const { terminal, flags, recipe, keys, stages } = pipeline;
  const facts: ModelFacts[] = [];
  if (flags.json !== true) printLine(terminal, STAGE_HEADER);
  for (let i = 0; i <= recipe.steps.length; i++) {
    if (i >= stages.length) {
      if (i > 0) await runStep(pipeline, i);
      stages.push({ key: keys[i] });
      await writeStages(pipeline.work, stages);
    }
    facts.push(await measureStage(pipeline, i));
    if (flags.json !== true) printLine(terminal, formatStage(stageName(recipe, i), facts[i], facts[i - 1]));
  }
  await finish(pipeline, facts);
}

/** Folders of steps that the recipe no longer has, or has otherwise. */
async function removeOutdated(pipeline: Pipeline): Promise<void> {
  const wanted = pipeline.keys.map((_, i) => path.basename(stageFolder(pipeline, i)));
  for (const entry of await readdir(pipeline.work, { withFileTypes: true })) {
    const isWanted = wanted.some((name) => entry.name.startsWith(name));
    if (entry.isDirectory() && !isWanted) await clearStage(path.join(pipeline.work, entry.name));
  }
}

/** Does one step; its folder is complete when this returns. */
async function runStep(pipeline: Pipeline, index: number): Promise<void> {
  const { flags, run, recipe } = pipeline;
  const step = recipe.steps[index - 1];
  const folder = stageFolder(pipeline, index);
  const { resumable, chosen } = commandOf(step);
  const ready = `${folder}.chosen`;
  if (chosen !== undefined && existsSync(ready)) {
    await replaceFolder(folder, ready);
    return;
  }
  const resume = resumable && existsSync(path.join(folder, CHECKPOINT));
  if (!resume) await clearStage(folder);
  const input = index === 1 ? flags.model : stageFolder(pipeline, index - 1);
  await run(argumentsOf(step, input, folder, resume));
  await rm(path.join(folder, CHECKPOINT), { force: true });
  if (chosen === undefined) return;
  await rename(await chosen(folder), ready);
  await replaceFolder(folder, ready);
}

/** A killed run finds either folder complete. */
async function replaceFolder(folder: string, replacement: string): Promise<void> {
  await clearStage(folder);
  await rename(replacement, folder);
}

/** Facts of a stage, from the record where they were measured on the same text. */
async function measureStage(pipeline: Pipeline, index: number): Promise<ModelFacts> {
  const { terminal, flags, recipe, stages, measureKey, work } = pipeline;
  const { key, measured } = stages[index];
  if (measured?.key === measureKey) return measured.facts;
  const folder = index === 0 ? flags.model : stageFolder(pipeline, index);
  const facts = await measureFolder(terminal, folder, recipe.evaluate);
  stages[index] = { key, measured: { key: measureKey, facts } };
  await writeStages(work, stages);
  return facts;
}

async function measureFolder(
  terminal: Terminal,
  folder: string,
  evaluate: Evaluation | undefined,
): Promise<ModelFacts> {
  const text = evaluate && (await readTextFlag(evaluate.text, "evaluate.text of the recipe"));
  const platform = nodePlatform();
  await using model = await loadModelOn(platform, folder);
  return await withInterrupt((signal) =>
    withProgress(terminal, "measuring", "tokens", (onProgress) =>
      measureModel(model, {
        quality: evaluate && { ...evaluate, text: text?.slice(0, evaluate.characters) ?? "" },
        now: () => platform.now(),
        signal,
        onProgress,
      }),
    ),
  );
}

/** Makes the last stage the result and forgets the others. */
async function finish(pipeline: Pipeline, facts: readonly ModelFacts[]): Promise<void> {
  const { terminal, flags, recipe, work } = pipeline;
  const last = stageFolder(pipeline, recipe.steps.length);
  const stages = facts.map((measured, i) => ({ stage: stageName(recipe, i), ...measured }));
  const { key } = pipeline.stages[pipeline.stages.length - 1];
  const report = { version: 1, key, steps: recipe.steps.map(withoutFolders), stages };
  await writeTextFile(path.join(last, REPORT), `${JSON.stringify(report, undefined, 2)}\n`);
  await rename(last, flags.out);
  await clearStage(work);
  if (flags.json === true) printJson(terminal, { out: flags.out, stages });
  else printNote(terminal, `wrote ${flags.out}; what each step did stands in ${REPORT}`);
}

/** The step with names of files only: where they lay on this machine is of no use to others. */
function withoutFolders(step: Step): object {
  return Object.fromEntries(
    Object.entries(step).map(([field, value]) => [
      field,
      typeof value === "string" && path.isAbsolute(value) ? path.basename(value) : value,
    ]),
  );
}

function stageName({ steps }: RecipeFile, index: number): string {
  return index === 0 ? "source" : `${index} ${describeStep(steps[index - 1])}`;
}

function stageFolder({ work, keys }: Pick<Pipeline, "work" | "keys">, index: number): string {
  return path.join(work, `${String(index).padStart(2, "0")}-${keys[index].slice(0, 8)}`);
}
