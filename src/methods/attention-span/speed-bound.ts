/**
 * What attending to less can gain at most where decoding is bound by memory bandwidth: weights are read once per step for
 * all sequences, keys and values once per sequence (specification of skim for Self-Selected Attention Span, section 1).
 */
export interface SpeedBound {
  /** W, bytes of weights a step reads. */
  readonly weightBytes: number;
  /** S, sequences that share a step. */
  readonly sequences: number;
  /** n, positions of each. */
  readonly context: number;
  /** Bytes of keys and values per position. */
  readonly positionBytes: number;
  /** phi, the share of positions that is read. */
  readonly visibleShare: number;
}

/** (W + S n kv) / (W + S phi n kv) */
export function speedBound(bound: SpeedBound): number {
  const { weightBytes, sequences, context, positionBytes, visibleShare } = bound;
  const all = sequences * context * positionBytes;
  return (weightBytes + all) / (weightBytes + visibleShare * all);
}
