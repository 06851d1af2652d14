/**
 * A run of `skim train` from flags and a method: opens or makes the model, trains it and leaves it in --out.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import type { TrainingBatch } from "../executors/training/training-executor.ts";
import { createWasmTraining, type WasmTraining } from "../executors/training/wasm-training.ts";
import type { HuggingFaceModelFile, JsonObject, ModelFile } from "../formats/model-file.ts";
import {
  ADAPTER_WEIGHTS_FILE,
  collectAdapters,
  writeAdapterFolder,
} from "../methods/low-rank-adapters/adapter-folder.ts";
import { mergedReader, withFreshAdapters } from "../methods/low-rank-adapters/merge.ts";
import { addAdapters, isAdapterWeight } from "../methods/low-rank-adapters/rewrite.ts";
import { loadTrainableProgram, type Recipe, readRecipes, recipeSection } from "../methods/recipes.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import type { Platform } from "../platform/types.ts";
import { withFile } from "../platform/with-file.ts";
import { type DifferentiateOptions, differentiate } from "../program/differentiate.ts";
import type { Program } from "../program/program.ts";
import type { TrainingProgram } from "../program/training-ops.ts";
import { formatByName } from "../quantization/registry.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { BatchSource } from "../training/batches.ts";
import { CorpusEncoder } from "../training/corpus-encoder.ts";
import { loadParameters } from "../training/load-parameters.ts";
import { saveModelDescription, saveWeights } from "../training/save-model.ts";
import { SpanExampleEncoder } from "../training/span-examples.ts";
import { type TrainerHooks, type TrainerSettings, type TrainingResult, train } from "../training/trainer.ts";
import { freshState, type TrainingState } from "../training/training-state.ts";
import { InterruptedError, UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { CHECKPOINT, createRunFolder, loadCheckpoint, saveCheckpoint } from "./run-folder.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import {
  makeFreshModel,
  openFolder,
  readSpanRecipe,
  readTrainingData,
  readValidationData,
} from "./train-data.ts";
import { adapterOptions, type TrainFlags, trainerSettings } from "./train-flags.ts";
import { TrainProgress } from "./train-progress.ts";
import { writeTrainingReport } from "./train-report.ts";
import { loadTeacher } from "./train-teacher.ts";

export const TRAINING_LOG = "training-log.jsonl";

/** What a method changes about training. */
export interface TrainingMethod {
  /** Changes of config.json before the first update, where the run begins from a model. */
  readonly config?: JsonObject;
  readonly differentiate?: DifferentiateOptions;
  /** What the trained program computes, where that is not what the weights alone say. */
  readonly rewrite?: (program: Program) => Program;
  /** Says in the written model what `rewrite` did; in place of one of the same method. */
  readonly recipe?: Recipe;
  /** Methods that are to come after this one, not before. */
  readonly precedes?: readonly Recipe["method"][];
  /** Standard deviation of A when adapters begin. */
  readonly adapterDeviation?: number;
  /** Made when the model is known. */
  readonly l1?: (program: TrainingProgram) => TrainerSettings["l1"];
  /** Tells runs of different settings apart. */
  readonly run?: string;
  /** Keep the last model rather than the best on --valid: the loss rises while the method does its work. */
  readonly keepLast?: boolean;
}

/** Trains by the flags of `skim train`, as `method` has it; the model lies in --out afterwards. */
export async function runTraining(
  terminal: Terminal,
  flags: TrainFlags,
  method: TrainingMethod = {},
): Promise<void> {
  const platform = nodePlatform();
  await prepareFolder(flags);
  await withFile(await openStart(terminal, platform, flags, method), async (file) => {
    const { program } = await loadTrainableProgram(file, { contextLength: flags.context });
    const adapters = adapterOptions(flags);
    const rewritten = method.rewrite?.(program) ?? program;
    const trained = adapters === undefined ? rewritten : addAdapters(rewritten, adapters);
    const executor = await createExecutor(platform, trained, flags, method);
    try {
      const start =
        adapters === undefined ? file : withFreshAdapters(file, trained, flags.seed, method.adapterDeviation);
      const save = makeSave(file, trained, executor, flags);
      await trainModel(terminal, platform, { file, start, save, executor }, flags, method);
    } finally {
      await executor.dispose();
    }
  });
}

/** Writes what is trained: the model with adapters merged, or the adapters alone. */
function makeSave(
  file: HuggingFaceModelFile,
  program: Program,
  executor: WasmTraining,
  flags: TrainFlags,
): () => Promise<void> {
  const format = formatByName(flags.weights);
  const open = (name: string) => createFileSink(path.join(flags.out, name));
  const { model } = flags;
  if (flags.loraKeep === true && model !== undefined) {
    return () => writeAdapterFolder(collectAdapters(program, executor, file), model, format, open);
  }
  const weights = { program: executor.program, ...mergedReader(program, executor) };
  return () => saveWeights(file, weights, format, open);
}

/** A folder that already holds something is only continued, never overwritten. */
async function prepareFolder({ out, resume }: TrainFlags): Promise<void> {
  const holdsRun = existsSync(path.join(out, CHECKPOINT));
  if (resume === true && !holdsRun) {
    throw new UsageError(`train: ${out} has no ${CHECKPOINT} to resume from - leave out --resume to start`);
  }
  const holdsModel = ["config.json", ADAPTER_WEIGHTS_FILE].some((name) => existsSync(path.join(out, name)));
  if (resume !== true && (holdsRun || holdsModel)) {
    throw new UsageError(
      `train: ${out} already holds ${holdsRun ? "a run" : "a model"} - choose another folder or add --resume`,
    );
  }
  await createRunFolder(out);
}

async function openStart(
  terminal: Terminal,
  platform: Platform,
  flags: TrainFlags,
  method: TrainingMethod,
): Promise<HuggingFaceModelFile> {
  if (flags.resume === true && flags.loraKeep !== true) return openFolder(platform, flags.out);
  const opened = await (flags.model === undefined
    ? makeFreshModel(terminal, platform, flags)
    : openFolder(platform, flags.model));
  const file = { ...opened, config: { ...opened.config, ...method.config } };
  const spans = flags.spans === "full" ? undefined : await readSpanRecipe(flags);
  const added = [spans, method.recipe].filter((recipe) => recipe !== undefined);
  if (added.length === 0) return file;
  const early = readRecipes(file).find((recipe) => method.precedes?.includes(recipe.method));
  if (early !== undefined) {
    throw new UsageError(
      `${file.name}: has a recipe of ${early.method}, expected a model before that - train first, then compress`,
    );
  }
  const others = readRecipes(file).filter(({ method }) => added.every((recipe) => recipe.method !== method));
  return { ...file, recipes: recipeSection([...others, ...added]) };
}

function createExecutor(
  platform: Platform,
  program: Program,
  flags: TrainFlags,
  method: TrainingMethod,
): Promise<WasmTraining> {
  const { recompute, teacher, temperature } = flags;
  const options = {
    recompute,
    ...(flags.loraRank !== undefined && { trainable: isAdapterWeight }),
    ...(teacher !== undefined && { distillation: { temperature } }),
    ...method.differentiate,
  };
  return createWasmTraining(platform, differentiate(program, options), {
    threads: flags.threads ?? platform.coreCount,
    limits: { rows: flags.batch * flags.context, sequenceLength: flags.context },
    simd: "auto",
  });
}

/** What a run trains and what it writes. */
interface Training {
  /** Says which tensors the written model has. */
  readonly file: HuggingFaceModelFile;
  /** The weights that a new run begins with, adapters included. */
  readonly start: ModelFile;
  readonly executor: WasmTraining;
  readonly save: () => Promise<void>;
}

async function trainModel(
  terminal: Terminal,
  platform: Platform,
  training: Training,
  flags: TrainFlags,
  method: TrainingMethod,
): Promise<void> {
  const { file, executor } = training;
  const { program, activationBytes } = executor;
  const tokenizer = await loadTokenizer(file);
  const batches = await readBatches(terminal, file, tokenizer, flags, method);
  const student = { name: file.name, vocabularySize: program.vocabularySize, tokenizer };
  await using teaching = await loadTeacher(terminal, platform, flags, student);
  const l1 = method.l1?.(program);
  const settings = {
    ...trainerSettings(flags),
    ...(l1 && { l1 }),
    ...(teaching && { teacher: teaching.teacher }),
  };
  const run = fingerprint(flags, settings, `${batches.data.fingerprint}${method.run ?? ""}`);
  const state = await startState(training, flags, run);
  const parameters = program.parameters.reduce((sum, { size, trainable }) => sum + (trainable ? size : 0), 0);
  printNote(
    terminal,
    `training ${(parameters / 1e6).toFixed(2)} M parameters from step ${state.step}, ` +
      `activations ${(activationBytes / 1e6).toFixed(0)} MB`,
  );
  const startedAt = performance.now();
  const result = await runLoop(terminal, training, flags, batches, settings, state);
  const seconds = (performance.now() - startedAt) / 1000;
  await writeTrainingReport(flags.out, path.join(flags.out, TRAINING_LOG), {
    data: path.basename(flags.data),
    "trained parameters": `${(parameters / 1e6).toFixed(2)} M`,
    "micro-batch, per update": `${flags.batch} x ${flags.context} tokens, ${flags.accumulate}`,
    activations: `${(activationBytes / 1e6).toFixed(0)} MB, recomputed: ${flags.recompute}`,
    seed: String(flags.seed),
    end: result.reason,
  });
  report(terminal, flags, result, { seconds, parameters, activationBytes });
}

/** Micro-batches of --data and --valid. */
interface Batches {
  readonly data: BatchSource;
  readonly validation: readonly TrainingBatch[];
}

async function readBatches(
  terminal: Terminal,
  file: HuggingFaceModelFile,
  tokenizer: Tokenizer,
  flags: TrainFlags,
  method: TrainingMethod,
): Promise<Batches> {
  const encoder = await CorpusEncoder.create(tokenizer, file);
  const recipe = await readSpanRecipe(flags);
  const spans = recipe && new SpanExampleEncoder(tokenizer, encoder, recipe, flags.spans === "masked");
  const data = await readTrainingData(terminal, flags, tokenizer, encoder, spans);
  const validation =
    method.keepLast === true ? [] : await readValidationData(flags, tokenizer, encoder, spans);
  return { data, validation };
}

/** Trains from `state`, with progress, log and checkpoints, until the end or Ctrl-C. */
function runLoop(
  terminal: Terminal,
  { executor, save }: Training,
  flags: TrainFlags,
  { data, validation }: Batches,
  settings: TrainerSettings,
  state: TrainingState,
): Promise<TrainingResult> {
  const progress = new TrainProgress(terminal, path.join(flags.out, TRAINING_LOG), flags.steps, state);
  const hooks: TrainerHooks = {
    onStep: (report) => progress.step(report),
    onEvaluation: (step, loss, isBest) => progress.evaluation(step, loss, isBest),
    saveModel: save,
    saveCheckpoint: (next) => saveCheckpoint(flags.out, executor, next),
  };
  return withInterrupt((signal) =>
    train(executor, data, validation, settings, state, hooks, signal).finally(() => progress.end()),
  );
}

/** The state to go on from; a new run first writes a complete model folder. */
async function startState(
  { file, start, executor, save }: Training,
  flags: TrainFlags,
  run: string,
): Promise<TrainingState> {
  if (flags.resume === true) {
    const state = await loadCheckpoint(flags.out, executor, run);
    if (state !== undefined) return state;
  }
  await loadParameters(start, executor);
  const open = (name: string) => createFileSink(path.join(flags.out, name));
  if (flags.loraKeep !== true) await saveModelDescription(file, formatByName(flags.weights), open);
  await save();
  const state = freshState(run);
  await saveCheckpoint(flags.out, executor, state);
  return state;
}

/** What must be the same for a resumed run to repeat an uninterrupted one. */
function fingerprint(flags: TrainFlags, settings: TrainerSettings, data: string): string {
  const { steps, warmup, learningRate, accumulation, weightDecay, clip } = settings;
  const options = adapterOptions(flags);
  const adapters = options === undefined ? "" : `, adapters ${JSON.stringify(options)}`;
  const { teacher, teacherWeight, temperature } = flags;
  const taught =
    teacher === undefined
      ? ""
      : `, teacher ${path.basename(path.resolve(teacher))} weight ${teacherWeight} temperature ${temperature}`;
  return `${data}, steps ${steps}, warm-up ${warmup}, learning rate ${learningRate}, accumulation ${accumulation}, weight decay ${weightDecay}, clip ${clip}${adapters}${taught}`;
}

function report(
  terminal: Terminal,
  flags: TrainFlags,
  { reason, state }: TrainingResult,
  facts: { readonly seconds: number; readonly parameters: number; readonly activationBytes: number },
): void {
  if (flags.json === true) {
    const { step, tokens, best } = state;
    const perplexity = best === null ? null : Math.exp(best.loss);
    printJson(terminal, { reason, step, tokens, best, perplexity, ...facts, out: flags.out });
  } else {
    const best =
      state.best === null
        ? ""
        : `, best validation loss ${state.best.loss.toFixed(4)} at step ${state.best.step}`;
    printNote(
      terminal,
      `${reason} after step ${state.step}, ${state.tokens} tokens${best}; model in ${flags.out}`,
    );
  }
  if (reason === "aborted") {
    printNote(terminal, "checkpoint saved - the same command with --resume continues");
    throw new InterruptedError();
  }
}
