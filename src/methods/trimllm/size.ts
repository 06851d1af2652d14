/**
 * What a Llama-shaped model costs with some of its attentions and MLPs (TrimLLM, section on cost; arXiv 2412.11242).
 * Counts matrices only, as the paper does; norms are some ten thousandths of a model. A bound, beside which measured
 * speeds are to be printed: whatever gains more than its bytes needs an explanation.
 */
export interface TrimmedShape {
  /** D */
  readonly width: number;
  /** F */
  readonly feedForwardWidth: number;
  /** K d, the width of keys and of values. */
  readonly sharedWidth: number;
  readonly vocabularySize: number;
  readonly tiedHead: boolean;
}

/** Sublayers that are left. */
export interface SublayerCounts {
  readonly attentions: number;
  readonly mlps: number;
}

/** Weights of one attention: query and output D x D, key and value K d x D. */
export function attentionParameters({ width, sharedWidth }: TrimmedShape): number {
  return 2 * width * (width + sharedWidth);
}

/** Weights of one gated MLP. */
export function mlpParameters({ width, feedForwardWidth }: TrimmedShape): number {
  return 3 * width * feedForwardWidth;
}

/** Weights of the whole model. */
export function trimmedParameters(shape: TrimmedShape, { attentions, mlps }: SublayerCounts): number {
  const tables = (shape.tiedHead ? 1 : 2) * shape.vocabularySize * shape.width;
  return attentions * attentionParameters(shape) + mlps * mlpParameters(shape) + tables;
}

/** Weights that a generated token reads: all but the embedding, of which it reads one row; a tied head is read. */
export function trimmedReads(shape: TrimmedShape, counts: SublayerCounts): number {
  const embedding = shape.tiedHead ? 0 : shape.vocabularySize * shape.width;
  return trimmedParameters(shape, counts) - embedding;
}

/** Bytes of keys and values that one position keeps. */
export function trimmedKeyValueBytes(
  { sharedWidth }: TrimmedShape,
  { attentions }: SublayerCounts,
  elementBytes: number,
): number {
  return attentions * 2 * sharedWidth * elementBytes;
}

/** How much faster at most than with `before`, where reading weights is all that takes time. */
export function speedBound(shape: TrimmedShape, before: SublayerCounts, after: SublayerCounts): number {
  return trimmedReads(shape, before) / trimmedReads(shape, after);
}
