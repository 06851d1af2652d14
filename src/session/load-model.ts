/**
 * From a path to a Model: open the file, read its tokenizer, build its program, hand both to an executor.
 * Every part that fails closes what was opened before it.
 */
import { FormatError, OptionError } from "../errors.ts";
import type { Executor, ExecutorOptions } from "../executors/executor.ts";
import { createReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { dipRecipe, freeRecipe } from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { findControlTokens } from "../methods/attention-span/control-tokens.ts";
import { explainTensors, loadRecipeProgram, readRecipes } from "../methods/recipes.ts";
import type { Platform } from "../platform/types.ts";
import type { Program } from "../program/program.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { readCheckpointDefaults } from "./checkpoint-defaults.ts";
import { Model } from "./model.ts";
import type { SpanSettings } from "./stated-spans.ts";
import {
  checkLoadOptions,
  DEFAULT_CONTEXT_LENGTH,
  DEFAULT_STEP_TOKENS,
  type EngineOptions,
  type LoadOptions,
  mergeOptions,
  type ModelOptions,
} from "./options.ts";

/**
 * Loads a model: `source` is the path of a GGUF file or a Hugging Face folder. Throws OptionError
 * (options), ResourceError (cannot be read, out of memory), FormatError (damaged) and UnsupportedError
 * (not known to skim).
 */
export async function loadModelOn(
  platform: Platform,
  source: string,
  options: LoadOptions = {},
): Promise<Model> {
  const startedAt = platform.now();
  const { model, engine, generation } = checkLoadOptions(options);
  const opened = await openModelFile(platform, source);
  try {
    const file = explainTensors(opened);
    const tokenizer = await loadTokenizer(file);
    const program = pruneColumns(await buildProgramFor(file, model.contextLength), model);
    checkVocabulary(file, tokenizer, program);
    const generationDefaults = mergeOptions(readCheckpointDefaults(file), generation);
    const spans = readSpanSettings(file, tokenizer);
    // Last, as it starts threads: nothing after it may fail.
    const executor = await createExecutor(platform, program, file, model, engine);
    const loadMs = platform.now() - startedAt;
    return new Model({
      file,
      tokenizer,
      executor,
      generationDefaults,
      spans,
      loadMs,
      now: () => platform.now(),
    });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/**
 * The program for the context that will be used, which is what was asked for or else the checkpoint's own up
 * to the default; some rotary tables depend on it.
 */
async function buildProgramFor(file: ModelFile, asked: number | undefined): Promise<Program> {
  const { program } = await loadRecipeProgram(file, { contextLength: asked });
  return asked === undefined && program.contextLength > DEFAULT_CONTEXT_LENGTH
    ? (await loadRecipeProgram(file, { contextLength: DEFAULT_CONTEXT_LENGTH })).program
    : program;
}

/** Applies the densities that were asked for; the program itself when none were. */
function pruneColumns(program: Program, { density, inputDensity, gluDensity }: ModelOptions): Program {
  if (density === undefined && inputDensity === undefined && gluDensity === undefined) return program;
  if (density === undefined) return rewriteColumns(program, freeRecipe(inputDensity, gluDensity));
  if (inputDensity !== undefined || gluDensity !== undefined) {
    throw new OptionError(
      "density: given together with the input or GLU density, expected one or the others - drop --density to set the two yourself",
    );
  }
  return rewriteColumns(program, dipRecipe(density));
}

async function createExecutor(
  platform: Platform,
  program: Program,
  file: ModelFile,
  model: ModelOptions,
  engine: EngineOptions,
): Promise<Executor> {
  const contextLength = model.contextLength ?? Math.min(program.contextLength, DEFAULT_CONTEXT_LENGTH);
  const options: ExecutorOptions = {
    threads: engine.threads ?? platform.coreCount,
    limits: {
      contextLength,
      slots: engine.slots ?? 1,
      stepTokens: Math.min(engine.stepTokens ?? DEFAULT_STEP_TOKENS, contextLength),
    },
    keyValueFormat: model.keyValueFormat ?? "f16",
    weightFormat: model.weightFormat ?? "auto",
    simd: engine.simd ?? "auto",
    columnStore: engine.columnStore,
    columnCache: engine.columnCache,
    onProgress: engine.onProgress,
  };
  if (engine.columnStore !== undefined && engine.executor === "reference") {
    throw new OptionError(
      "columns: read from a file by the wasm executor only - leave out --executor reference",
    );
  }
  return engine.executor === "reference"
    ? createReferenceExecutor(program, file, options)
    : createWasmExecutor(platform, program, file, options);
}

/** What the checkpoint's recipe says about attention spans. */
function readSpanSettings(file: ModelFile, tokenizer: Tokenizer): SpanSettings | undefined {
  const recipe = readRecipes(file).find((candidate) => candidate.method === "attention-span");
  if (recipe === undefined) return undefined;
  const control = findControlTokens(tokenizer);
  const decode = (tokens: readonly number[]) => tokenizer.decode(tokens);
  const sink = tokenizer.encode(recipe.instruction, { addSpecial: true, parseSpecial: false });
  return { rules: { control, headers: recipe.headers, decode }, sink };
}

/** A tokenizer may know fewer ids than the embedding has rows (padding), never more. */
function checkVocabulary(file: ModelFile, tokenizer: Tokenizer, program: Program): void {
  if (tokenizer.vocabularySize > program.vocabularySize) {
    throw new FormatError(
      `tokenizer: vocabulary of ${file.name} does not fit the model, expected at most ${program.vocabularySize} ` +
        `tokens, got ${tokenizer.vocabularySize} - the tokenizer belongs to another model`,
    );
  }
}
