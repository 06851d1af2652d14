/**
 * A made-up trace for simulating without a run: score = (column's own level) * |autoregressive normal noise|.
 * Levels differ between columns (some are hot) and neighbouring tokens resemble each other; both are
 * parameters, neither was fitted to a model. Results from it must say so (`origin` does).
 * Invariant: sequence, layer and hook draw from their own stream,
 * so values do not depend on the order of reading.
 */
import { OptionError } from "../../errors.ts";
import { RandomSource } from "../../session/random.ts";
import type { TransformerShape } from "../model-shapes.ts";
import { type ColumnTrace, checkTraceSize, hookColumns, type TraceHeader } from "./column-trace.ts";
import { HOOKS, type Hook } from "./memory-plan.ts";

export interface SyntheticTraceOptions {
  readonly shape: TransformerShape;
  readonly sequences: number;
  /** Generated tokens per sequence. */
  readonly tokens: number;
  readonly promptTokens: number;
  /** Correlation of a column's noise between neighbouring tokens, 0 to below 1. */
  readonly correlation: number;
  /** Standard deviation of the logarithm of the columns' levels; 0 makes all columns alike. */
  readonly spread: number;
  readonly seed: number;
}

/** Throws OptionError for parameters out of range. */
export function createSyntheticTrace(options: SyntheticTraceOptions): ColumnTrace {
  const { shape, sequences, tokens, promptTokens, correlation, spread, seed } = options;
  if (!(correlation >= 0 && correlation < 1)) {
    throw new OptionError(`correlation: expected a number from 0 to below 1, got ${correlation}`);
  }
  if (!(spread >= 0 && spread <= MAX_SPREAD)) {
    throw new OptionError(`spread: expected a number from 0 to ${MAX_SPREAD}, got ${spread}`);
  }
  const header: TraceHeader = {
    shape,
    content: "scores",
    origin: `synthetic scores, no model was run (correlation ${correlation}, spread ${spread}, seed ${seed})`,
    sequences: Array.from({ length: sequences }, () => ({ promptTokens, tokens })),
  };
  checkTraceSize(header);
  return {
    header,
    async readHook(sequence, layer, hook) {
      const columns = hookColumns(shape, hook);
      const levels = drawLevels(columns, spread, streamSeed(seed, 0, layer, hook));
      const noise = new NormalSource(streamSeed(seed, sequence + 1, layer, hook));
      return { content: "scores", scores: drawScores(levels, tokens, correlation, noise) };
    },
  };
}

/** exp(+-6 * 4) is far from overflow in f32 even times the noise. */
const MAX_SPREAD = 4;

function drawLevels(columns: number, spread: number, seed: number): Float32Array {
  const noise = new NormalSource(seed);
  return Float32Array.from({ length: columns }, () => Math.exp(spread * noise.next()));
}

/** [tokens, columns] */
function drawScores(
  levels: Float32Array,
  tokens: number,
  correlation: number,
  noise: NormalSource,
): Float32Array {
  const columns = levels.length;
  const scores = new Float32Array(tokens * columns);
  const state = Float32Array.from({ length: columns }, () => noise.next());
  const fresh = Math.sqrt(1 - correlation * correlation);
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < columns; i++) {
      if (token > 0) state[i] = correlation * state[i] + fresh * noise.next();
      scores[token * columns + i] = levels[i] * Math.abs(state[i]);
    }
  }
  return scores;
}

/** Standard normal numbers by the Box-Muller transform. */
class NormalSource {
  readonly #uniform: RandomSource;
  #spare = 0;
  #hasSpare = false;

  constructor(seed: number) {
    this.#uniform = new RandomSource(seed);
  }

  next(): number {
    this.#hasSpare = !this.#hasSpare;
    if (!this.#hasSpare) return this.#spare;
    const radius = Math.sqrt(-2 * Math.log(1 - this.#uniform.nextUnit()));
    const angle = 2 * Math.PI * this.#uniform.nextUnit();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** A 32-bit seed of its own for every stream: FNV-1a over the numbers that name it. */
export function streamSeed(seed: number, sequence: number, layer: number, hook: Hook): number {
  let hash = 0x811c9dc5;
  for (const word of [seed, sequence, layer, HOOKS.indexOf(hook)]) {
    for (let shift = 0; shift < 32; shift += 8) {
      hash = Math.imul(hash ^ ((word >>> shift) & 0xff), 0x01000193);
    }
  }
  return hash >>> 0;
}
