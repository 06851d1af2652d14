/**
 * Predictors for the layers of a model: what goes into each gate and which neurons then live is recorded on text, some layers
 * at a time so that memory stays bounded, and each layer's predictor is trained on it (predictor.ts). The last part of the text
 * is held out; the predictor with the best recall there is kept, and its figures are those of that part.
 */
import { Pacer } from "../../executors/reference/pacer.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { readWeightRows } from "../../models/decoded-rows.ts";
import type { Platform } from "../../platform/types.ts";
import type { LinearOp, Program, Weight } from "../../program/program.ts";
import { RandomSource } from "../../session/random.ts";
import { shuffle } from "../../training/batches.ts";
import { requireGatedUnits } from "../gated-units.ts";
import {
  countPredictions,
  createPredictor,
  type PredictionCounts,
  type PredictorOptimizer,
  type PredictorWeights,
  PredictorTrainer,
  predict,
  recallOf,
  restWeight,
} from "./predictor.ts";
import { countSignRule } from "./sign-rule.ts";
import { recordNeurons, type RecordOptions } from "./sparsity.ts";

export interface PredictorTraining extends PredictorOptimizer, Omit<RecordOptions, "onProgress"> {
  readonly rank: number;
  readonly batch: number;
  readonly epochs: number;
  readonly seed: number;
  /** Bytes of recordings that may be held at once. */
  readonly memory: number;
  readonly onProgress?: ((doneEpochs: number, totalEpochs: number) => void) | undefined;
}

/** A layer's predictor and how well it does on held-out tokens. */
export interface TrainedPredictor {
  readonly layer: number;
  readonly weights: PredictorWeights;
  readonly recall: number;
  readonly predictedShare: number;
  /** Share of the neurons that live. */
  readonly liveShare: number;
  readonly epochs: number;
  /** What SparseInfer's rule reaches without training, alpha 100, on some of the held-out tokens. */
  readonly signRule: { readonly recall: number; readonly predictedShare: number };
  readonly tokens: { readonly train: number; readonly heldOut: number };
}

const HELD_OUT = 0.05;
/** Epochs without better recall after which training ends, and a recall that is good enough. */
const PATIENCE = 5;
const ENOUGH = 0.99;
/** Held-out tokens on which the sign rule is counted. */
const RULE_TOKENS = 256;
const RULE_ALPHA = 100;

/** Inputs [tokens, width] and whether neurons live [tokens, neurons] of one layer. */
interface Recording {
  readonly width: number;
  readonly neurons: number;
  readonly inputs: Float32Array;
  readonly live: Uint8Array;
}

/** One predictor per gated feed-forward, all of plain linears. Errors of running the model. */
export async function trainPredictors(
  platform: Platform,
  file: ModelFile,
  program: Program,
  options: PredictorTraining,
): Promise<TrainedPredictor[]> {
  const units = requireGatedUnits(program, "gate").map((unit) => ({
    layer: unit.layer,
    gate: (program.ops[unit.gate] as LinearOp).weight,
  }));
  const tokens = countTokens(options.segments);
  const bytes = Math.max(...units.map(({ gate }) => tokens * (4 * gate.columns + gate.rows)));
  const together = Math.max(1, Math.floor(options.memory / bytes));
  const trained: TrainedPredictor[] = [];
  for (let first = 0; first < units.length; first += together) {
    const group = units.slice(first, first + together);
    const recordings = await record(platform, file, program, options, group, first);
    for (const [i, { layer, gate }] of group.entries()) {
      const done = trained.length * options.epochs;
      const onEpoch = (epoch: number) => options.onProgress?.(done + epoch, units.length * options.epochs);
      const best = await trainLayer(recordings[i], { ...options, seed: options.seed + layer }, onEpoch);
      const signRule = await measureSignRule(file, gate, recordings[i], best.tokens.train);
      trained.push({ layer, ...best, signRule });
    }
  }
  return trained;
}

function countTokens(segments: RecordOptions["segments"]): number {
  return segments.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

async function record(
  platform: Platform,
  file: ModelFile,
  program: Program,
  options: RecordOptions,
  group: readonly { readonly gate: Weight }[],
  first: number,
): Promise<Recording[]> {
  const { segments, threads, signal } = options;
  const tokens = countTokens(segments);
  const recordings = group.map(({ gate: { rows, columns } }) => ({
    width: columns,
    neurons: rows,
    inputs: new Float32Array(tokens * columns),
    live: new Uint8Array(tokens * rows),
  }));
  let done = 0;
  await recordNeurons(
    platform,
    file,
    program,
    ["inputs", "x1"],
    { segments, threads, signal },
    (read, _, count) => {
      for (const [i, { width, neurons, inputs, live }] of recordings.entries()) {
        const [x, x1] = read(first + i);
        inputs.set(x, done * width);
        x1.forEach((value, at) => {
          if (value !== 0) live[done * neurons + at] = 1;
        });
      }
      done += count;
    },
  );
  return recordings;
}

async function trainLayer(
  { width, neurons, inputs, live }: Recording,
  options: PredictorTraining,
  onEpoch: (epoch: number) => void,
): Promise<Omit<TrainedPredictor, "layer" | "signRule">> {
  const tokens = inputs.length / width;
  const heldOut = Math.max(1, Math.round(HELD_OUT * tokens));
  const train = tokens - heldOut;
  const weights = createPredictor({ width, rank: options.rank, neurons }, options.seed);
  const trainer = new PredictorTrainer(weights, options);
  const rest = restWeight(live.subarray(0, train * neurons));
  const random = new RandomSource(options.seed);
  const order = Uint32Array.from({ length: train }, (_, i) => i);
  let best: { weights: PredictorWeights; counts: PredictionCounts; epoch: number } | undefined;
  const pacer = new Pacer();
  pacer.watch(options.signal);
  let epoch = 0;
  while (epoch < options.epochs) {
    shuffle(order, random);
    for (let first = 0; first < train; first += options.batch) {
      const rows = order.subarray(first, first + options.batch);
      const x = gather(inputs, rows, width);
      trainer.update(x, gather(live, rows, neurons), rows.length, rest);
      await pacer.pause();
    }
    epoch++;
    const counts = countHeldOut(
      weights,
      inputs.subarray(train * width),
      live.subarray(train * neurons),
      options.batch,
    );
    if (best === undefined || recallOf([counts]) > recallOf([best.counts])) {
      const kept = { ...weights, inner: weights.inner.slice(), outer: weights.outer.slice() };
      best = { weights: kept, counts, epoch };
    }
    onEpoch(epoch);
    if (recallOf([best.counts]) > ENOUGH || epoch - best.epoch >= PATIENCE) break;
  }
  if (best === undefined) throw new Error("predictor: no epoch was trained");
  onEpoch(options.epochs);
  return { weights: best.weights, ...shares(best.counts), epochs: epoch, tokens: { train, heldOut } };
}

function shares(counts: PredictionCounts) {
  const { live, predicted, total } = counts;
  return { recall: recallOf([counts]), predictedShare: predicted / total, liveShare: live / total };
}

function countHeldOut(
  weights: PredictorWeights,
  inputs: Float32Array,
  live: Uint8Array,
  batch: number,
): PredictionCounts {
  const sum = { live: 0, predicted: 0, hits: 0, total: 0 };
  const tokens = inputs.length / weights.width;
  for (let first = 0; first < tokens; first += batch) {
    const rows = Math.min(batch, tokens - first);
    const x = inputs.subarray(first * weights.width, (first + rows) * weights.width);
    const targets = live.subarray(first * weights.neurons, (first + rows) * weights.neurons);
    const counts = countPredictions(targets, predict(weights, x, rows));
    for (const name of ["live", "predicted", "hits", "total"] as const) sum[name] += counts[name];
  }
  return sum;
}

async function measureSignRule(
  file: ModelFile,
  gate: Weight,
  { width, neurons, inputs, live }: Recording,
  train: number,
): Promise<TrainedPredictor["signRule"]> {
  const values = await readWeightRows(file, gate, 0, gate.rows);
  const end = Math.min(inputs.length / width, train + RULE_TOKENS);
  const x = inputs.subarray(train * width, end * width);
  const targets = live.subarray(train * neurons, end * neurons);
  const { recall, predictedShare } = shares(countSignRule(x, values, targets, width, RULE_ALPHA));
  return { recall, predictedShare };
}

function gather<Values extends Float32Array | Uint8Array>(
  values: Values,
  rows: Uint32Array,
  width: number,
): Values {
  const result = values.slice(0, rows.length * width) as Values;
  rows.forEach((row, i) => {
    result.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return result;
}
