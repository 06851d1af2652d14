/** The model that `skim train --teacher` learns from: opened, checked against the student, ready to run. */
import { createWasmExecutor } from "../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { explainTensors, loadRecipeProgram } from "../methods/recipes.ts";
import type { Platform } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { checkVocabularies, executorTeacher, type Speaker, type Teacher } from "../training/teacher.ts";
import { formatSize, printNote, type Terminal } from "./terminal.ts";
import type { TrainFlags } from "./train-flags.ts";

/** A teacher in memory. */
export interface LoadedTeacher extends AsyncDisposable {
  readonly teacher: Teacher;
}

/**
 * Loads --teacher and says what it takes; undefined without the flag.
 * OptionError when the vocabularies differ.
 */
export async function loadTeacher(
  terminal: Terminal,
  platform: Platform,
  flags: TrainFlags,
  student: Speaker,
): Promise<LoadedTeacher | undefined> {
  if (flags.teacher === undefined) return undefined;
  return withFile(await openModelFile(platform, flags.teacher), (opened) =>
    startTeacher(terminal, platform, flags, student, explainTensors(opened)),
  );
}

async function startTeacher(
  terminal: Terminal,
  platform: Platform,
  flags: TrainFlags,
  student: Speaker,
  file: ModelFile,
): Promise<LoadedTeacher> {
  const { program } = await loadRecipeProgram(file, { contextLength: flags.context });
  const tokenizer = await loadTokenizer(file);
  checkVocabularies(student, { name: file.name, vocabularySize: program.vocabularySize, tokenizer });
  const executor = await createWasmExecutor(platform, program, file, {
    threads: flags.threads ?? platform.coreCount,
    limits: { contextLength: flags.context, slots: 1, stepTokens: flags.context },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  printNote(
    terminal,
    `teacher: ${formatSize(executor.weightBytes)} of weights, ${formatSize(executor.keyValueBytes)} of keys and values`,
  );
  return {
    teacher: executorTeacher(executor, flags.teacherWeight),
    [Symbol.asyncDispose]: () => executor.dispose(),
  };
}
