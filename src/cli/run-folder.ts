/** What a training run keeps in its --out folder, as `train`, `train trim` and recipes name it. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { FormatError, ResourceError } from "../errors.ts";
import type { TrainingExecutor } from "../executors/training/training-executor.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { readCheckpoint, type TrainingState, writeCheckpoint } from "../training/training-state.ts";

/** Parameters, moments and state, from which --resume goes on. */
export const CHECKPOINT = "training.checkpoint";

/** State of a trimming run. */
export const TRIM_STATE = "trim.json";

/** Model of a trimming run after so many rounds; 0 is the whole one. */
export function sizeFolder(out: string, round: number): string {
  return path.join(out, `size-${String(round).padStart(2, "0")}`);
}

/** ResourceError when the folder that `flag` names cannot be created. */
export async function createRunFolder(folder: string, flag = "--out"): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${folder}: cannot be created (${error.code}) - check ${flag}`, { cause: error });
  });
}

/** Puts the executor where the checkpoint of the run `fingerprint` is; undefined when there is none. */
export async function loadCheckpoint(
  out: string,
  executor: TrainingExecutor,
  fingerprint: string,
): Promise<TrainingState | undefined> {
  const file = path.join(out, CHECKPOINT);
  if (!existsSync(file)) return undefined;
  const opened = await nodePlatform().open(file);
  if (!("file" in opened)) {
    throw new FormatError(`${file}: is a folder, expected a checkpoint - choose another --out`);
  }
  return withFile(opened.file, (source) => readCheckpoint(source, executor, fingerprint));
}

export async function saveCheckpoint(
  out: string,
  executor: TrainingExecutor,
  state: TrainingState,
): Promise<void> {
  await writeCheckpoint(await createFileSink(path.join(out, CHECKPOINT)), executor, state);
}
