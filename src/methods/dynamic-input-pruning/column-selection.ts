/**
 * Which columns a token reads: the k of largest score, with DIP-CA's preference for columns that are already cached
 * (Federici et al., arXiv 2412.01380, Algorithm 1) and the options of the authors' released code. Scores are the
 * magnitudes |x|; re-weighted scores only choose, the activations themselves stay as they are.
 * Order of choice: re-weighted score descending, score descending, index ascending. Nothing is allocated per call.
 */
import { OptionError } from "../../errors.ts";
import { nthSmallest } from "./nth-element.ts";

/** Tells whether a column is in the cache of this layer, as the previous token left it. */
export interface Residency {
  /** Slot of each column, negative where the column is not resident. */
  readonly slotOf: Int32Array;
}

/** How the cache weighs on the choice; gamma = 1 without `topM` is plain DIP. */
export interface CachePreference {
  /** Factor on the scores of columns that are not resident, 0 to 1. */
  readonly gamma: number;
  /** So many largest scores count as resident whether they are or not. */
  readonly fixedTopN: number;
  /** gamma approaches its value over the first tokens instead of holding from the first. */
  readonly warmUp: boolean;
  /** gamma * score + (1 - gamma) * resident instead of a factor on what is not resident. */
  readonly alphaBlend: boolean;
  /**
   * Approximate caching: prefer residents among the `topM` largest scores over columns that would have to be read.
   * Replaces re-weighting, so gamma must be 1.
   */
  readonly topM?: number;
}

export const NO_PREFERENCE: CachePreference = { gamma: 1, fixedTopN: 0, warmUp: false, alphaBlend: false };

/** Throws OptionError where gamma is no share. */
export function checkGamma(gamma: number): void {
  if (gamma >= 0 && gamma <= 1) return;
  throw new OptionError(
    `gamma: out of range, expected a number from 0 to 1, got ${gamma} - 1 chooses as without a cache`,
  );
}

/** Throws OptionError for preferences out of range or at odds with each other. */
export function checkPreference(preference: CachePreference): void {
  const { gamma, fixedTopN, topM } = preference;
  checkGamma(gamma);
  if (!Number.isInteger(fixedTopN) || fixedTopN < 0) {
    throw new OptionError(
      `fixed top n: expected a whole number of at least 0, got ${fixedTopN} - 0 prefers nothing`,
    );
  }
  if (topM !== undefined && (!Number.isInteger(topM) || topM < 1)) {
    throw new OptionError(
      `top m: expected a whole number of at least 1, got ${topM} - leave it out to choose by weights`,
    );
  }
  if (topM !== undefined && (gamma !== 1 || preference.warmUp || preference.alphaBlend)) {
    throw new OptionError(
      `top m: approximate caching replaces re-weighting, expected gamma 1 without warm-up and blend, got gamma ${gamma} - drop one of the two`,
    );
  }
}

/** True when the cache's contents can change the choice; with gamma 1 neither warm-up nor blend can. */
export function prefersCached({ gamma, topM }: CachePreference): boolean {
  return gamma !== 1 || topM !== undefined;
}

/**
 * gamma at the t-th token of a sequence (t = 0 first) with warm-up: 1 - (1 - gamma) (1 - gamma^(t/4)), the formula
 * the released code runs (its comment states another).
 */
export function warmUpGamma(gamma: number, token: number): number {
  return 1 - (1 - gamma) * (1 - gamma ** (token / 4));
}

/** Chooses columns of one input width again and again; owns the scratch memory for it. */
export class ColumnSelector {
  /** The chosen columns after `selectTop` or `select`: ascending, the first `count` entries. */
  readonly selected: Int32Array;
  /** How many columns the last call chose. */
  count = 0;
  readonly #weighted: Float32Array;
  readonly #scratch: Float32Array;
  /** 1 where a column is taken. */
  readonly #taken: Uint8Array;

  /** @param columns width of the input that the scores belong to */
  constructor(columns: number) {
    this.selected = new Int32Array(columns);
    this.#weighted = new Float32Array(columns);
    this.#scratch = new Float32Array(columns);
    this.#taken = new Uint8Array(columns);
  }

  /** The k largest of scores [columns], finite and not negative; 0 <= k <= columns. */
  selectTop(scores: Float32Array, k: number): void {
    this.#taken.fill(0);
    this.#take(scores, scores, k);
    this.#collect();
  }

  /** All columns with a score of at least `threshold`. */
  selectAbove(scores: Float32Array, threshold: number): void {
    for (let i = 0; i < scores.length; i++) this.#taken[i] = scores[i] >= threshold ? 1 : 0;
    this.#collect();
  }

  /** k columns under a preference that has passed checkPreference; `token` counts from the sequence's start. */
  select(
    scores: Float32Array,
    k: number,
    residency: Residency,
    preference: CachePreference,
    token: number,
  ): void {
    if (!prefersCached(preference)) {
      this.selectTop(scores, k);
      return;
    }
    if (preference.topM !== undefined) {
      this.#selectApproximately(scores, k, residency.slotOf, preference.topM, preference.fixedTopN);
      return;
    }
    this.#reweight(scores, residency.slotOf, preference, token);
    this.#taken.fill(0);
    this.#take(this.#weighted, scores, k);
    this.#collect();
  }

  #reweight(scores: Float32Array, slotOf: Int32Array, preference: CachePreference, token: number): void {
    const weighted = this.#weighted;
    const gamma = preference.warmUp ? warmUpGamma(preference.gamma, token) : preference.gamma;
    if (preference.alphaBlend) {
      for (let i = 0; i < scores.length; i++) {
        weighted[i] = gamma * scores[i] + (slotOf[i] >= 0 ? 1 - gamma : 0);
      }
    } else {
      for (let i = 0; i < scores.length; i++) weighted[i] = slotOf[i] >= 0 ? scores[i] : gamma * scores[i];
    }
    if (preference.fixedTopN === 0) return;
    this.selectTop(scores, Math.min(preference.fixedTopN, scores.length));
    for (let i = 0; i < this.count; i++) {
      const column = this.selected[i];
      weighted[column] = preference.alphaBlend ? gamma * scores[column] + 1 - gamma : scores[column];
    }
  }

  /**
   * Fills k slots, best score first within each group: (1) the top n, (2) cached columns of the top k, (3) cached
   * columns of the top m, (4) the rest of the top k.
   */
  #selectApproximately(scores: Float32Array, k: number, slotOf: Int32Array, m: number, n: number): void {
    const weighted = this.#weighted;
    // One number per column that ranks its group; 0 stands for outside the top m.
    weighted.fill(0);
    this.#rankTop(scores, Math.max(m, k), (column) => (slotOf[column] >= 0 ? 2 : 0));
    this.#rankTop(scores, k, (column) => (slotOf[column] >= 0 ? 3 : 1));
    this.#rankTop(scores, Math.min(n, k), () => 4);
    this.#taken.fill(0);
    this.#take(weighted, scores, k);
    this.#collect();
  }

  #rankTop(scores: Float32Array, count: number, rank: (column: number) => number): void {
    this.selectTop(scores, Math.min(count, scores.length));
    for (let i = 0; i < this.count; i++) this.#weighted[this.selected[i]] = rank(this.selected[i]);
  }

  /** Takes the k best by (primary descending, secondary descending, index ascending). */
  #take(primary: Float32Array, secondary: Float32Array, k: number): void {
    if (k === 0) return;
    const taken = this.#taken;
    const columns = primary.length;
    this.#scratch.set(primary);
    const threshold = nthSmallest(this.#scratch, columns, columns - k);
    let left = k;
    let ties = 0;
    for (let i = 0; i < columns; i++) {
      if (primary[i] > threshold) {
        taken[i] = 1;
        left--;
      } else if (primary[i] === threshold) {
        this.#scratch[ties++] = secondary[i];
      }
    }
    const tieThreshold = nthSmallest(this.#scratch, ties, ties - left);
    for (let i = 0; i < columns; i++) {
      if (primary[i] === threshold && secondary[i] > tieThreshold) {
        taken[i] = 1;
        left--;
      }
    }
    for (let i = 0; left > 0; i++) {
      if (primary[i] === threshold && secondary[i] === tieThreshold) {
        taken[i] = 1;
        left--;
      }
    }
  }

  #collect(): void {
    let count = 0;
    for (let i = 0; i < this.#taken.length; i++) {
      if (this.#taken[i] === 1) this.selected[count++] = i;
    }
    this.count = count;
  }
}
