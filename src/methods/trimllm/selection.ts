/**
 * Which sublayer goes next, and which blocks are trained (TrimLLM, sections on scores and sparse update; arXiv 2412.11242).
 * The rule is lexicographic as in the released code: the highest accuracy after deletion, and only among equals the
 * largest output norm. Adding the two scores up instead would let the norm decide nearly always.
 * Invariant: pure functions; equal inputs choose the same sublayer on every machine.
 */
import type { SublayerKind } from "./recipe.ts";

/** What a scan knows of a unit that could go. */
export interface Candidate {
  /** First block of the unit. */
  readonly layer: number;
  /** "layer" where whole decoder layers are the units. */
  readonly kind: SublayerKind | "layer";
  /** How good the model is without it, higher is better: accuracy in [0, 1], or minus the loss in nats. */
  readonly quality: number;
  /** Frobenius norm of its output on the calibration examples; compared within a kind only. */
  readonly norm: number;
}

export const TIE_BREAKERS = ["activation", "naive"] as const;
export type TieBreaker = (typeof TIE_BREAKERS)[number];

/** 100 * smallest norm / norm: the unit of the largest norm scores lowest and goes first. */
export function normScores(norms: readonly number[]): number[] {
  const smallest = Math.min(...norms);
  return norms.map((norm) => (100 * smallest) / norm);
}

/** Candidates whose quality is within `tolerance` of the best; more than one is a tie. */
export function bestCandidates<C extends Candidate>(candidates: readonly C[], tolerance: number): C[] {
  const best = Math.max(...candidates.map(({ quality }) => quality));
  return candidates.filter(({ quality }) => quality >= best - tolerance);
}

/**
 * The unit to drop. Among the best, an MLP goes before an attention; within a kind the largest norm, or with "naive" the
 * lowest layer. Throws Error when there is nothing to choose from.
 */
export function chooseUnit<C extends Candidate>(
  candidates: readonly C[],
  tolerance: number,
  tieBreaker: TieBreaker,
): C {
  const best = bestCandidates(candidates, tolerance);
  const mlps = best.filter(({ kind }) => kind === "mlp");
  const [first, ...others] = mlps.length > 0 ? mlps : best;
  if (first === undefined) throw new Error("trim: no unit to choose from");
  if (tieBreaker === "naive") return others.reduce((a, b) => (b.layer < a.layer ? b : a), first);
  return others.reduce((a, b) => (b.norm > a.norm ? b : a), first);
}

/**
 * Blocks that are trained: round(share * L) of those whose two deletions together cost most, so of the lowest sums of
 * accuracies; equals by lower index. Exactly that many, unlike the released rule.
 */
export function trainableBlocks(sums: readonly number[], share: number): number[] {
  const order = [...sums.keys()].sort((a, b) => sums[a] - sums[b] || a - b);
  return order.slice(0, Math.round(share * sums.length)).sort((a, b) => a - b);
}
