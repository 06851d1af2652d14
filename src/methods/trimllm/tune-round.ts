/** One size of a trimming run: the model without what was dropped is tuned, saved and measured on validation. */
import type { ChoiceReport } from "../../evaluation/multiple-choice.ts";
import type { TrainingExecutor } from "../../executors/training/training-executor.ts";
import { createWasmTraining } from "../../executors/training/wasm-training.ts";
import type { HuggingFaceModelFile, ModelFile } from "../../formats/model-file.ts";
import { parameterCount } from "../../formats/tensor-layout.ts";
import { countCost, keyValueBytes } from "../../program/accounting.ts";
import { differentiate } from "../../program/differentiate.ts";
import type { Program, Weight } from "../../program/program.ts";
import { layerWeight } from "../../program/weight-names.ts";
import { bitsPerWeight } from "../../quantization/weight-format.ts";
import { loadParameters } from "../../training/load-parameters.ts";
import { train } from "../../training/trainer.ts";
import { freshState, type TrainingState } from "../../training/training-state.ts";
import { loadTrainableProgram } from "../recipes.ts";
import { mergedReader, withFreshAdapters } from "../low-rank-adapters/merge.ts";
import { ADAPTER_TARGETS, addAdapters, hasTargets, isAdapterWeight } from "../low-rank-adapters/rewrite.ts";
import { dropSublayers } from "./drop.ts";
import { parseSublayer, type SublayerId, type TrimOrigin } from "./recipe.ts";
import { scoreProgram } from "./scan.ts";
import type { TrimRound, TrimSize, TrimState } from "./trim-state.ts";
import type { TrimSettings, TrimWorld } from "./trim-world.ts";
import { withSize } from "./with-size.ts";

/** Updates whose mean loss a round reports. */
const LOSS_STEPS = 20;

/**
 * Tunes and measures the last round of `state`; undefined when the run was stopped, after its checkpoint is saved. It
 * continues from the last training checkpoint, whichever round that belongs to: weights and moments of what was dropped
 * since are not read.
 */
export async function tuneRound(
  world: TrimWorld,
  settings: TrimSettings,
  state: TrimState,
  blocks: readonly number[],
): Promise<TrimRound["result"] | undefined> {
  const startedAt = world.now();
  const round = state.rounds.length - 1;
  const file = await trimmedFile(world, settings, state);
  const { program: plain } = await loadTrainableProgram(file, { contextLength: world.limits.sequenceLength });
  const program = adapt(plain, settings, blocks);
  const trainable = (weight: Weight) => isTrained(weight, blocks, settings);
  const executor = await createWasmTraining(world.platform, differentiate(program, { trainable }), {
    threads: world.threads,
    limits: world.limits,
    simd: "auto",
  });
  try {
    const start = await startFrom(world, settings, executor, program, state.fingerprint);
    // Where all trained blocks are gone and the tables are frozen, nothing is left to tune.
    const isTuned = executor.program.parameters.some((parameter) => parameter.trainable);
    const until = isTuned ? (round + 1) * settings.stepsPerRound : start.step;
    const losses: number[] = [];
    const { reason, state: end } = await train(
      executor,
      world.batches,
      [],
      { ...settings.trainer, until },
      start,
      {
        onStep: (report) => {
          losses.push(report.loss);
          world.onStep(round, report);
        },
        saveModel: async () => undefined,
        saveCheckpoint: (next) => world.saveCheckpoint(executor, next),
      },
      world.signal,
    );
    if (reason === "aborted") return undefined;
    await world.saveSize(round, file, { program: executor.program, ...mergedReader(program, executor) });
    const recent = losses.slice(-LOSS_STEPS);
    return {
      step: end.step,
      loss: recent.length === 0 ? null : recent.reduce((sum, loss) => sum + loss, 0) / recent.length,
      tuneSeconds: (world.now() - startedAt) / 1000,
      ...(await measureSize(world, round)),
    };
  } finally {
    await executor.dispose();
  }
}

/** Validation and size of a saved round. */
function measureSize(world: TrimWorld, round: number): Promise<{ validation: ChoiceReport; size: TrimSize }> {
  return withSize(world, round, async (file, program) => {
    const validation = await scoreProgram(world, file, program, world.data.validation, (done, total) =>
      world.onProgress("validating", done, total),
    );
    return { validation, size: sizeOf(file, program) };
  });
}

/** Sublayers that are gone in the last round of `state`. */
function droppedSoFar({ rounds }: Pick<TrimState, "rounds">): SublayerId[] {
  return rounds.flatMap(({ dropped }) => dropped.map(parseSublayer));
}

/** The base model without what is dropped so far; weights are the base's until the executor has others. */
async function trimmedFile(
  { base }: TrimWorld,
  settings: TrimSettings,
  state: TrimState,
): Promise<HuggingFaceModelFile> {
  const dropped = droppedSoFar(state);
  if (dropped.length === 0) return base;
  const origin: TrimOrigin = {
    base: state.base,
    trainedShare: settings.trainedShare,
    tieBreaker: settings.tieBreaker,
    seed: settings.seed,
    calibration: state.splits.calibration,
  };
  const { file } = await dropSublayers(base, dropped, origin);
  if (file.container !== "huggingface") throw new Error("trim: expected a folder");
  return file;
}

/** The program with adapters beside what is left of the trained blocks, where asked. */
function adapt(program: Program, { adapters }: TrimSettings, blocks: readonly number[]): Program {
  if (adapters === undefined) return program;
  const options = { ...adapters, targets: ADAPTER_TARGETS, layers: blocks };
  return hasTargets(program, options) ? addAdapters(program, options) : program;
}

/** Blocks that are trained or their adapters, and the tables around them where asked. Layer numbers are the original's. */
function isTrained(
  weight: Weight,
  blocks: readonly number[],
  { trainTables, adapters }: TrimSettings,
): boolean {
  const layer = layerWeight(weight.name)?.layer;
  if (layer === undefined) return trainTables;
  return adapters === undefined ? blocks.includes(layer) : isAdapterWeight(weight);
}

async function startFrom(
  world: TrimWorld,
  settings: TrimSettings,
  executor: TrainingExecutor,
  program: Program,
  fingerprint: string,
): Promise<TrainingState> {
  const loaded = await world.loadCheckpoint(executor);
  if (loaded !== undefined) return loaded;
  await loadParameters(withFreshAdapters(world.base, program, settings.seed), executor);
  return freshState(fingerprint);
}

function sizeOf(file: ModelFile, program: Program): TrimSize {
  const weightBytes = (weight: Weight) => {
    const info = file.tensors.get(weight.tensor);
    return info === undefined ? 0 : (weight.rows * weight.columns * bitsPerWeight(info.format)) / 8;
  };
  const { reads } = countCost(program, { weightBytes, keyValueFormat: "f16", attended: 0 });
  return {
    parameters: parameterCount(file),
    tensorBytes: file.tensorBytes,
    readBytes: reads.total,
    keyValueBytes: keyValueBytes(program, "f16"),
  };
}
