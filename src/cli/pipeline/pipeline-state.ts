/**
 * What a pipeline has finished, kept in OUT.partial/state.json so that a run that was stopped or killed
 * anywhere goes on where it was. Every step has a key made of everything its result depends on: the model's
 * files, the steps before it, its own settings and the contents of its data. Steps whose keys still match are
 * skipped, the rest is done again.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ResourceError } from "../../errors.ts";
import type { ModelFacts } from "../../evaluation/model-facts.ts";
import { writeTextFile } from "../text-file.ts";
import { PATH_FIELDS } from "./recipe-file.ts";
import type { Step } from "./step-schemas.ts";

const factsSchema: z.ZodType<ModelFacts> = z.strictObject({
  perplexity: z.number().nullable(),
  bytesPerToken: z.number(),
  tensorBytes: z.number(),
  tokensPerSecond: z.number(),
  rooflineShare: z.number().nullable(),
});

const stageSchema = z.strictObject({
  /** Of the result and all it was made from. */
  key: z.string(),
  /** Absent while the step's result has not been measured, or not on the present text. */
  measured: z.strictObject({ key: z.string(), facts: factsSchema }).optional(),
});

const stateSchema = z.strictObject({ version: z.literal(1), stages: z.array(stageSchema) });

/** A finished stage; stage 0 is the source model. */
export type Stage = z.infer<typeof stageSchema>;

const STATE = "state.json";

/**
 * Stages recorded in the working folder; none when no record can be read. ResourceError for a damaged one.
 */
export async function readStages(folder: string): Promise<Stage[]> {
  const text = await readFile(path.join(folder, STATE), "utf8").catch(() => undefined);
  if (text === undefined) return [];
  const outcome = stateSchema.safeParse(parsedJson(text));
  if (!outcome.success) {
    throw new ResourceError(
      `${path.join(folder, STATE)}: not a record of this version of skim - remove ${folder} to start over`,
    );
  }
  return outcome.data.stages;
}

/** undefined for text that is no JSON, which no schema of an object accepts. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Replaces the record in one rename. */
export async function writeStages(folder: string, stages: readonly Stage[]): Promise<void> {
  await writeTextFile(path.join(folder, STATE), `${JSON.stringify({ version: 1, stages }, undefined, 2)}\n`);
}

/** Key of the source model: names, sizes and times of its files, whose contents may be many gigabytes. */
export async function modelKey(model: string): Promise<string> {
  const info = await stat(model).catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${model}: cannot be opened (${error.code}) - check --model`, { cause: error });
  });
  const names = info.isDirectory()
    ? (await readdir(model)).sort().map((name) => path.join(model, name))
    : [model];
  const files = await Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(name);
      return [path.basename(name), size, mtimeMs];
    }),
  );
  return digest(JSON.stringify(files));
}

/** Key of a step's result, given the key of what it starts from. */
export async function stepKey(before: string, step: Step): Promise<string> {
  const fields: [string, unknown][] = [];
  for (const [field, value] of Object.entries(step)) {
    const isPath = (PATH_FIELDS as readonly string[]).includes(field);
    fields.push([field, isPath ? await pathKey(String(value)) : value]);
  }
  return digest(JSON.stringify([before, fields]));
}

/** Key of what `settings` measures on. */
export async function evaluationKey(settings: { readonly text: string } | undefined): Promise<string> {
  if (settings === undefined) return "";
  return digest(JSON.stringify({ ...settings, text: await fileKey(settings.text) }));
}

/** Removes what a finished or outdated stage left in the working folder. */
export async function clearStage(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function pathKey(name: string): Promise<string> {
  const info = await stat(name).catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${name}: cannot be read (${error.code}) - check the paths in the recipe`, {
      cause: error,
    });
  });
  return info.isDirectory() ? modelKey(name) : fileKey(name);
}

async function fileKey(name: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(name)) hash.update(piece);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new ResourceError(`${name}: cannot be read (${code}) - check the paths in the recipe`, {
      cause: error,
    });
  }
  return hash.digest("hex");
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
