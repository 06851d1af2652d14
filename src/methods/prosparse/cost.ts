/**
 * What skipping neurons can gain at most on one memory tier, and how it is reported (ProSparse, arXiv 2402.13516; formulas
 * of skim's specification, sections 1 and 3).
 */

/** Share of the feed-forward bytes that exact mode reads: gate whole, up and down of live neurons. */
export function exactShare(sparsity: number): number {
  return (1 + 2 * (1 - sparsity)) / 3;
}

/** Share of the feed-forward bytes that predictor mode reads: all three matrices of chosen neurons, and the predictor. */
export function predictorShare(
  predictedSparsity: number,
  { rank, width, neurons }: { readonly rank: number; readonly width: number; readonly neurons: number },
): number {
  return 1 - predictedSparsity + (rank * (width + neurons)) / (3 * width * neurons);
}

/** Speed of exact mode over dense; F is the feed-forward's share of the bytes of a token. */
export function exactCeiling(sparsity: number, feedForwardShare: number): number {
  return 1 / (1 - (2 / 3) * sparsity * feedForwardShare);
}

/** Speed with a predictor whose own weights are `predictorShare` of the bytes of a token. */
export function predictorCeiling(
  predictedSparsity: number,
  feedForwardShare: number,
  predictorShare: number,
): number {
  return 1 / (1 - predictedSparsity * feedForwardShare + predictorShare);
}

/** Speed if live neurons were known for nothing. */
export function oracleCeiling(sparsity: number, feedForwardShare: number): number {
  return 1 / (1 - sparsity * feedForwardShare);
}

/** Share of neurons that some of `batch` independent tokens need. */
export function unionShare(sparsity: number, batch: number): number {
  return 1 - sparsity ** batch;
}

/**
 * Sparsity that the paper's 7B model reaches with a last factor of `peak`, fitted there for peaks of at least 0.01 held for at
 * least 4,000 updates. The paper's normaliser is not known and the fit misses its own 13B model by 8 points: for comparing
 * with the paper, not for choosing a peak.
 */
export function paperSparsity(peak: number): number {
  return 1 - Math.exp(-1.76 * peak ** 0.3 + 3.49) / 100;
}
