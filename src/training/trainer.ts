/**
 * The training loop: gradients of some micro-batches, clipping, one AdamW update; validation, best model,
 * checkpoints, early stop. It talks to the world through hooks only. A run that fails or is stopped leaves
 * its last good checkpoint.
 * Invariant: executor state, TrainingState and settings determine everything that follows.
 */
import { NumericError } from "../errors.ts";
import type { TrainingBatch, TrainingExecutor } from "../executors/training/training-executor.ts";
import { advance, type BatchSource } from "./batches.ts";
import { learningRateAt, type Schedule } from "./schedule.ts";
import type { Teacher } from "./teacher.ts";
import type { TrainingState } from "./training-state.ts";

export interface TrainerSettings extends Schedule {
  /** Micro-batches per update. */
  readonly accumulation: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient; larger ones are scaled down. */
  readonly clip: number;
  /** Updates between validations, and between checkpoints. */
  readonly evaluateEvery: number;
  readonly checkpointEvery: number;
  /** Validations without improvement before training ends; undefined never ends it. */
  readonly patience: number | undefined;
  /** Update after which `train` returns although the schedule goes on to `steps`; `steps` by default. */
  readonly until?: number;
  /** Factor at a step of the L1 penalty, for programs that have one: of the sum of |x| per token. */
  readonly l1?: (step: number) => number;
  /** For programs that distil. */
  readonly teacher?: Teacher;
}

/** One update. */
export interface StepReport {
  readonly step: number;
  /** Mean over predicted tokens, in nats, before the update. */
  readonly loss: number;
  /** Mean distance to the teacher over the same tokens; 0 without one. */
  readonly teacher: number;
  /** Sum of |x| of penalised activations, per token. */
  readonly l1: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly tokens: number;
}

export interface TrainerHooks {
  readonly onStep?: (report: StepReport) => void;
  readonly onEvaluation?: (step: number, loss: number, isBest: boolean) => void;
  /**
   * Saves the model as it is now: it is the best so far,
   * or training without validation has ended or was stopped.
   */
  readonly saveModel: () => Promise<void>;
  readonly saveCheckpoint: (state: TrainingState) => Promise<void>;
}

export type EndReason = "done" | "early stop" | "aborted";

export interface TrainingResult {
  readonly reason: EndReason;
  readonly state: TrainingState;
}

/**
 * Trains until `settings.steps`, an early stop or an abort. Throws NumericError when the loss is no number.
 */
export async function train(
  executor: TrainingExecutor,
  data: BatchSource,
  validation: readonly TrainingBatch[],
  settings: TrainerSettings,
  start: TrainingState,
  hooks: TrainerHooks,
  signal?: AbortSignal,
): Promise<TrainingResult> {
  let state = start;
  let saved = start.step;
  const checkpoint = async () => {
    if (saved !== state.step) await hooks.saveCheckpoint(state);
    saved = state.step;
  };
  const end = Math.min(settings.until ?? settings.steps, settings.steps);
  const hasPatience = () => settings.patience === undefined || state.stale < settings.patience;
  while (state.step < end && hasPatience()) {
    if (signal?.aborted === true) {
      if (validation.length === 0) await hooks.saveModel();
      await checkpoint();
      return { reason: "aborted", state };
    }
    state = await update(executor, data, settings, state, hooks);
    const isLast = state.step === end;
    if (validation.length > 0 && (isLast || state.step % settings.evaluateEvery === 0)) {
      state = await validate(executor, validation, settings.teacher, state, hooks);
    }
    if (state.step % settings.checkpointEvery === 0) await checkpoint();
  }
  if (validation.length === 0) await hooks.saveModel();
  await checkpoint();
  return { reason: state.step < end ? "early stop" : "done", state };
}

/** Mean loss over all predicted tokens of `batches`, in nats; programs that distil need their teacher. */
export async function meanLoss(
  executor: TrainingExecutor,
  batches: readonly TrainingBatch[],
  teacher?: Teacher,
): Promise<number> {
  let sum = 0;
  let count = 0;
  for (const batch of batches) {
    sum += (await executor.evaluate((await teacher?.teach(batch)) ?? batch)).target;
    count += batch.targets.length;
  }
  return sum / count;
}

async function update(
  executor: TrainingExecutor,
  data: BatchSource,
  settings: TrainerSettings,
  state: TrainingState,
  hooks: TrainerHooks,
): Promise<TrainingState> {
  const step = state.step + 1;
  const batches: TrainingBatch[] = [];
  let { cursor } = state;
  for (let i = 0; i < settings.accumulation; i++) {
    batches.push(data.batch(cursor.epoch, cursor.index));
    cursor = advance(data, cursor);
  }
  const count = batches.reduce((sum, { targets }) => sum + targets.length, 0);
  const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
  const taught = settings.teacher?.weight ?? 0;
  const l1Weight = (settings.l1?.(step) ?? 0) / tokens;
  const weights = { target: (1 - taught) / count, teacher: taught / count, l1: l1Weight };
  let loss = 0;
  let teacher = 0;
  let l1 = 0;
  for (const batch of batches) {
    const losses = await executor.accumulate((await settings.teacher?.teach(batch)) ?? batch, weights);
    loss += losses.target / count;
    teacher += losses.teacher / count;
    l1 += losses.l1 / tokens;
  }
  const gradientNorm = await executor.gradientNorm();
  if (!Number.isFinite(loss + teacher) || !Number.isFinite(gradientNorm)) {
    throw new NumericError(
      `training: step ${step} has loss ${loss} and gradient norm ${gradientNorm} - lower the learning rate; the last checkpoint is kept`,
    );
  }
  const learningRate = learningRateAt(step, settings);
  const gradientScale = gradientNorm > settings.clip ? settings.clip / gradientNorm : 1;
  const { beta1, beta2, epsilon, weightDecay } = settings;
  await executor.update({ learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale });
  const next = { ...state, step, cursor, tokens: state.tokens + tokens };
  hooks.onStep?.({ step, loss, teacher, l1, gradientNorm, learningRate, tokens: next.tokens });
  return next;
}

async function validate(
  executor: TrainingExecutor,
  validation: readonly TrainingBatch[],
  teacher: Teacher | undefined,
  state: TrainingState,
  hooks: TrainerHooks,
): Promise<TrainingState> {
  const loss = await meanLoss(executor, validation, teacher);
  const isBest = state.best === null || loss < state.best.loss;
  hooks.onEvaluation?.(state.step, loss, isBest);
  if (isBest) await hooks.saveModel();
  return isBest
    ? { ...state, best: { loss, step: state.step }, stale: 0 }
    : { ...state, stale: state.stale + 1 };
}
