/** What skipping neurons reads, and can gain at most on one memory tier (ProSparse, arXiv 2402.13516). */

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
