/**
 * From a checkpoint to its program: finds the family by the file's architecture and lets it parse and emit.
 * Adding a family is one file and one line here.
 */
import { OptionError, UnsupportedError } from "../errors.ts";
import type { ModelFile } from "../formats/model-file.ts";
import type { Program } from "../program/program.ts";
import { validateProgram } from "../program/validator.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { llama } from "./llama.ts";
import { minicpm } from "./minicpm.ts";
import { mistral } from "./mistral.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

export const FAMILIES: readonly ModelFamily[] = [llama, mistral, qwen2, qwen3, phi3, minicpm];

export interface ProgramOptions {
  /**
   * Context the engine will run with, at most what the checkpoint states (the default). It decides between
   * the short and the long rotary factors of LongRoPE models.
   */
  readonly contextLength?: number | undefined;
}

/**
 * Hyper-parameters and program of a checkpoint. UnsupportedError for an unknown architecture (lists the
 * known ones), FormatError for missing or senseless keys and tensors, OptionError for a context the
 * checkpoint does not have.
 */
export async function loadProgram(file: ModelFile, options: ProgramOptions = {}): Promise<LoadedModel> {
  const { contextLength } = options;
  if (contextLength !== undefined && (!Number.isInteger(contextLength) || contextLength < 1)) {
    throw new OptionError(
      `context length: expected a whole number of tokens above 0, got ${contextLength} - leave it out for all that the model states`,
    );
  }
  const loaded = await findFamily(file).load(file, contextLength);
  if (contextLength !== undefined && contextLength > loaded.program.contextLength) {
    throw new OptionError(
      `context length: expected at most the ${loaded.program.contextLength} tokens that ${file.name} states, got ${contextLength} - choose a shorter one`,
    );
  }
  validateProgram(loaded.program);
  return loaded;
}

/** The program alone; see `loadProgram`. */
export async function buildProgram(file: ModelFile, options: ProgramOptions = {}): Promise<Program> {
  return (await loadProgram(file, options)).program;
}

function findFamily(file: ModelFile): ModelFamily {
  const names = (family: ModelFamily) =>
    file.container === "gguf" ? family.ggufArchitectures : family.modelTypes;
  const family = FAMILIES.find((candidate) => names(candidate).includes(file.architecture));
  if (family === undefined) {
    const known = FAMILIES.flatMap(names).join(", ");
    throw new UnsupportedError(
      `${file.name}: unknown architecture ${JSON.stringify(file.architecture)}, expected one of ${known} - use a model of one of these architectures`,
    );
  }
  return family;
}
