/**
 * Chooses the next token from a row of logits [V]. The order is llama.cpp's default one: logit bias,
 * penalties, top-k, top-p, min-p, temperature, then one draw; so the filters judge the distribution before it
 * is flattened. Repetition penalty as in CTRL (Keskar et al., 2019, section 4.1), presence and frequency
 * penalties as in OpenAI's API.
 * Invariant: equal logits are ordered by token id and one random number is drawn per token,
 * so a seed fixes the text.
 */
import type { GenerationOptions } from "./options.ts";
import { findBest, rankBest } from "./logits.ts";
import { RandomSource } from "./random.ts";

export interface SamplingSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly logitBias: Readonly<Record<number, number>>;
  readonly seed: number;
}

/** Neutral penalties and the filters llama.cpp starts with. */
const DEFAULTS: Omit<SamplingSettings, "seed"> = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {},
};

/** Fills in what the caller left open. */
export function resolveSampling(options: GenerationOptions, seed: number): SamplingSettings {
  return {
    temperature: options.temperature ?? DEFAULTS.temperature,
    topK: options.topK ?? DEFAULTS.topK,
    topP: options.topP ?? DEFAULTS.topP,
    minP: options.minP ?? DEFAULTS.minP,
    repetitionPenalty: options.repetitionPenalty ?? DEFAULTS.repetitionPenalty,
    presencePenalty: options.presencePenalty ?? DEFAULTS.presencePenalty,
    frequencyPenalty: options.frequencyPenalty ?? DEFAULTS.frequencyPenalty,
    logitBias: options.logitBias ?? DEFAULTS.logitBias,
    seed,
  };
}

export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #random: RandomSource;
  readonly #bias: readonly (readonly [id: number, bias: number])[];
  /** True when bias or penalties change logits; without them the executor's row is read in place. */
  readonly #adjusts: boolean;
  readonly #adjusted: Float32Array;
  readonly #ranked: Int32Array;
  readonly #weights: Float64Array;
  /** Times each token was generated; 0 for tokens that only the prompt holds. */
  readonly #seen = new Map<number, number>();

  /** @param vocabularySize length of the rows that {@link sample} will see */
  constructor(settings: SamplingSettings, vocabularySize: number) {
    this.#settings = settings;
    this.#random = new RandomSource(settings.seed);
    this.#bias = Object.entries(settings.logitBias)
      .map(([id, bias]) => [Number(id), bias] as const)
      .filter(([id]) => id < vocabularySize);
    this.#adjusts =
      this.#bias.length > 0 ||
      settings.repetitionPenalty !== 1 ||
      settings.presencePenalty !== 0 ||
      settings.frequencyPenalty !== 0;
    this.#adjusted = new Float32Array(this.#adjusts ? vocabularySize : 0);
    this.#ranked = new Int32Array(settings.temperature === 0 ? 0 : vocabularySize);
    this.#weights = new Float64Array(settings.temperature === 0 ? 0 : vocabularySize);
  }

  /** Tells the repetition penalty what the prompt holds. */
  observePrompt(ids: readonly number[]): void {
    for (const id of ids) if (!this.#seen.has(id)) this.#seen.set(id, 0);
  }

  /** Id of the next token; it counts as generated from now on. Throws NumericError on NaN logits. */
  sample(logits: Float32Array): number {
    const row = this.#adjusts ? this.#adjust(logits) : logits;
    const best = findBest(row);
    const id = this.#settings.temperature === 0 ? best : this.#draw(row, best);
    this.#seen.set(id, (this.#seen.get(id) ?? 0) + 1);
    return id;
  }

  #adjust(logits: Float32Array): Float32Array {
    const row = this.#adjusted;
    row.set(logits);
    for (const [id, bias] of this.#bias) row[id] += bias;
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#settings;
    for (const [id, generated] of this.#seen) {
      if (id >= row.length) continue;
      row[id] = row[id] > 0 ? row[id] / repetitionPenalty : row[id] * repetitionPenalty;
      if (generated > 0) row[id] -= presencePenalty + frequencyPenalty * generated;
    }
    return row;
  }

  /** Filters, weighs by temperature and draws. */
  #draw(row: Float32Array, best: number): number {
    const { temperature } = this.#settings;
    const kept = this.#rankKept(row, row[best]);
    const weights = this.#weights;
    let total = 0;
    for (let i = 0; i < kept; i++) {
      total += Math.exp((row[this.#ranked[i]] - row[best]) / temperature);
      weights[i] = total;
    }
    const target = this.#random.nextUnit() * total;
    for (let i = 0; i < kept; i++) if (target < weights[i]) return this.#ranked[i];
    return this.#ranked[kept - 1];
  }

  /** Fills #ranked with the tokens that pass top-k, top-p and min-p, best first; returns how many. */
  #rankKept(row: Float32Array, greatest: number): number {
    const { topK, topP, minP } = this.#settings;
    const limit = topK === 0 ? row.length : Math.min(topK, row.length);
    if (limit === row.length && topP === 1 && minP === 0) {
      for (let id = 0; id < row.length; id++) this.#ranked[id] = id;
      return row.length;
    }
    // Without a top-k the nucleus is usually still small: rank 64 tokens, then four times as many,
    // until p is reached.
    const total = limit === row.length ? sumWeights(row, greatest) : 0;
    let ranked = topK === 0 && (topP < 1 || minP > 0) ? Math.min(limit, 64) : limit;
    for (;;) {
      rankBest(row, ranked, this.#ranked);
      const mass = limit === row.length ? total : sumRanked(row, greatest, this.#ranked, ranked);
      const kept = countKept(row, greatest, this.#ranked, ranked, topP * mass, minP);
      if (kept < ranked || ranked === limit) return kept;
      ranked = Math.min(limit, ranked * 4);
    }
  }
}

/** sum exp(logit - greatest) over the row. */
function sumWeights(row: Float32Array, greatest: number): number {
  let sum = 0;
  for (let id = 0; id < row.length; id++) sum += Math.exp(row[id] - greatest);
  return sum;
}

function sumRanked(row: Float32Array, greatest: number, ranked: Int32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(row[ranked[i]] - greatest);
  return sum;
}

/**
 * How many of the ranked tokens, best first, are needed to
 * reach `mass` and weigh at least `minP` of the best.
 */
function countKept(
  row: Float32Array,
  greatest: number,
  ranked: Int32Array,
  count: number,
  mass: number,
  minP: number,
): number {
  let reached = 0;
  for (let i = 0; i < count; i++) {
    const weight = Math.exp(row[ranked[i]] - greatest);
    if (i > 0 && (weight < minP || reached >= mass)) return i;
    reached += weight;
  }
  return count;
}
