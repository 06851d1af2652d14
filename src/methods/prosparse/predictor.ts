/**
 * A predictor of live neurons and its training (ProSparse, arXiv 2402.13516, as its authors' code has it): two linears without
 * biases and ReLU between them, a neuron counts as live where its logit is above 0. Binary cross-entropy, in which neurons
 * that do not live weigh as much as the share of those that do, so that missing a live one costs more; AdamW.
 * Written plainly in f32 on one thread: the predictors are small, and trained once.
 */
import { RandomSource } from "../../session/random.ts";

/** hidden = relu(inner x), logits = outer hidden. */
export interface PredictorWeights {
  readonly width: number;
  readonly rank: number;
  readonly neurons: number;
  /** [rank, width] */
  readonly inner: Float32Array;
  /** [neurons, rank] */
  readonly outer: Float32Array;
}

/** Added to the weight of neurons that do not live, so that they count even where nothing lives. */
const LEAST_WEIGHT = 0.005;
const [BETA_1, BETA_2, EPSILON] = [0.9, 0.999, 1e-8];

/** Weight of the neurons that do not live: the share of those that do, and a little. */
export function restWeight(targets: Uint8Array): number {
  let live = 0;
  for (const target of targets) live += target;
  return live / targets.length + LEAST_WEIGHT;
}

/** Mean of the weighted cross-entropy, and with `gradient` its derivatives by the logits. */
export function predictorLoss(
  targets: Uint8Array,
  logits: Float32Array,
  rest: number,
  gradient?: Float32Array,
): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const z = logits[i];
    const weight = targets[i] === 1 ? 1 : rest;
    // -log sigmoid(z) for a live one, -log(1 - sigmoid(z)) = z - log sigmoid(z) for another, without overflow.
    const negativeLog = Math.log1p(Math.exp(-Math.abs(z))) + Math.max(0, -z);
    sum += weight * (targets[i] === 1 ? negativeLog : z + negativeLog);
    if (gradient !== undefined)
      gradient[i] = (weight * (1 / (1 + Math.exp(-z)) - targets[i])) / logits.length;
  }
  return sum / logits.length;
}

/** How well a predictor does: sums over tokens and neurons. */
export interface PredictionCounts {
  readonly live: number;
  readonly predicted: number;
  readonly hits: number;
  readonly total: number;
}

export function countPredictions(targets: Uint8Array, logits: Float32Array): PredictionCounts {
  let [live, predicted, hits] = [0, 0, 0];
  for (let i = 0; i < logits.length; i++) {
    const isPredicted = logits[i] > 0 ? 1 : 0;
    live += targets[i];
    predicted += isPredicted;
    hits += targets[i] & isPredicted;
  }
  return { live, predicted, hits, total: logits.length };
}

/** Share of the live neurons that were predicted, all tokens together (micro); 1 where nothing lives. */
export function recallOf(counts: readonly PredictionCounts[]): number {
  const live = counts.reduce((sum, count) => sum + count.live, 0);
  return live === 0 ? 1 : counts.reduce((sum, count) => sum + count.hits, 0) / live;
}

export function createPredictor(
  { width, rank, neurons }: Pick<PredictorWeights, "width" | "rank" | "neurons">,
  seed: number,
): PredictorWeights {
  const random = new RandomSource(seed);
  const draw = (count: number, columns: number) => {
    // Uniform, of variance 2 / columns for the inner one, whose ReLU halves it.
    const bound = Math.sqrt(6 / columns);
    return Float32Array.from({ length: count }, () => bound * (2 * random.nextUnit() - 1));
  };
  return { width, rank, neurons, inner: draw(rank * width, width), outer: draw(neurons * rank, rank) };
}

/** Logits [rows, neurons] of x [rows, width]. */
export function predict(weights: PredictorWeights, x: Float32Array, rows: number): Float32Array {
  return forward(weights, x, rows).logits;
}

function forward({ width, rank, neurons, inner, outer }: PredictorWeights, x: Float32Array, rows: number) {
  const hidden = new Float32Array(rows * rank);
  multiply(hidden, x, inner, rows, rank, width);
  for (let i = 0; i < hidden.length; i++) hidden[i] = Math.max(0, hidden[i]);
  const logits = new Float32Array(rows * neurons);
  multiply(logits, hidden, outer, rows, neurons, rank);
  return { hidden, logits };
}

export interface PredictorOptimizer {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Trains the weights in place. */
export class PredictorTrainer {
  readonly weights: PredictorWeights;
  readonly #options: PredictorOptimizer;
  readonly #moments: readonly (readonly [Float32Array, Float32Array])[];
  #step = 0;

  constructor(weights: PredictorWeights, options: PredictorOptimizer) {
    this.weights = weights;
    this.#options = options;
    this.#moments = [weights.inner, weights.outer].map(({ length }) => [
      new Float32Array(length),
      new Float32Array(length),
    ]);
  }

  /** One update on x [rows, width] and targets [rows, neurons]; the loss before it. */
  update(x: Float32Array, targets: Uint8Array, rows: number, rest: number): number {
    const { width, rank, neurons, inner, outer } = this.weights;
    const { hidden, logits } = forward(this.weights, x, rows);
    const dLogits = new Float32Array(logits.length);
    const loss = predictorLoss(targets, logits, rest, dLogits);
    const dOuter = new Float32Array(outer.length);
    multiply(dOuter, transpose(dLogits, rows, neurons), transpose(hidden, rows, rank), neurons, rank, rows);
    const dHidden = new Float32Array(hidden.length);
    multiply(dHidden, dLogits, transpose(outer, neurons, rank), rows, rank, neurons);
    for (let i = 0; i < hidden.length; i++) if (hidden[i] === 0) dHidden[i] = 0;
    const dInner = new Float32Array(inner.length);
    multiply(dInner, transpose(dHidden, rows, rank), transpose(x, rows, width), rank, width, rows);
    this.#step++;
    this.#apply(inner, dInner, 0);
    this.#apply(outer, dOuter, 1);
    return loss;
  }

  #apply(values: Float32Array, gradient: Float32Array, index: number): void {
    const { learningRate, weightDecay } = this.#options;
    const [first, second] = this.#moments[index];
    const [correct1, correct2] = [1 - BETA_1 ** this.#step, 1 - BETA_2 ** this.#step];
    for (let i = 0; i < values.length; i++) {
      first[i] = BETA_1 * first[i] + (1 - BETA_1) * gradient[i];
      second[i] = BETA_2 * second[i] + (1 - BETA_2) * gradient[i] ** 2;
      const moved = first[i] / correct1 / (Math.sqrt(second[i] / correct2) + EPSILON);
      values[i] -= learningRate * (moved + weightDecay * values[i]);
    }
  }
}

/** out [rows, columns] = a [rows, depth] times b [columns, depth] transposed, in tiles of 2 x 2. */
function multiply(
  out: Float32Array,
  a: Float32Array,
  b: Float32Array,
  rows: number,
  columns: number,
  depth: number,
): void {
  for (let row = 0; row < rows; row += 2) {
    const a0 = row * depth;
    const a1 = row + 1 < rows ? a0 + depth : a0;
    for (let column = 0; column < columns; column += 2) {
      const b0 = column * depth;
      const b1 = column + 1 < columns ? b0 + depth : b0;
      let s00 = 0;
      let s01 = 0;
      let s10 = 0;
      let s11 = 0;
      for (let k = 0; k < depth; k++) {
        const x0 = a[a0 + k];
        const x1 = a[a1 + k];
        const y0 = b[b0 + k];
        const y1 = b[b1 + k];
        s00 += x0 * y0;
        s01 += x0 * y1;
        s10 += x1 * y0;
        s11 += x1 * y1;
      }
      // Odd edges have counted the last row or column twice, to the same place.
      const second = Math.min(column + 1, columns - 1);
      out[row * columns + column] = s00;
      out[row * columns + second] = columns > column + 1 ? s01 : s00;
      const below = Math.min(row + 1, rows - 1) * columns;
      out[below + column] = s10;
      out[below + second] = columns > column + 1 ? s11 : s10;
    }
  }
}

/** [rows, columns] as [columns, rows]. */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = values[row * columns + column];
  }
  return result;
}
