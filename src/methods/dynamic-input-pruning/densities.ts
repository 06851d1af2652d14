/**
 * How much of a gated MLP each column-skipping method reads, and how Dynamic Input Pruning shares one density out.
 * Source: DIP (Federici et al., MLSys 2025, arXiv 2412.01380) for the family of methods; the allocation is the
 * linear fit in logit space that the authors' released code uses for all gated models.
 * Invariant: an MLP density is MLP weights touched / all MLP weights (3 d f per layer), between 0 and 1.
 */
import { OptionError } from "../../errors.ts";

/** Fractions of columns kept: of the shared up/gate input, and of the down projection's input (the GLU output). */
export interface DipDensities {
  readonly input: number;
  readonly glu: number;
}

/** Columns kept per token and layer; computed once and stored, because floor(0.29 * 100) is 28 in doubles. */
export interface DipCounts {
  /** of d columns of up and gate, by one shared mask */
  readonly input: number;
  /** of f columns of down */
  readonly glu: number;
}

/** Sizes of one gated MLP. */
export interface MlpShape {
  /** d, the width of the residual stream */
  readonly width: number;
  /** f, the width between gate/up and down */
  readonly feedForwardWidth: number;
}

const LOGIT_SLOPE = 0.9849930711017189;
const LOGIT_OFFSET = 0.29976477589716316;

/** Below this the fit would ask for a negative GLU density (root of rho_glu(D) = 0). */
export const LEAST_ALLOCATED_DENSITY = 8.4805e-4;

/**
 * Shares an MLP density D in (8.4805e-4, 1] out between the input and the GLU columns, so that (2 input + glu) / 3 = D
 * to within rounding. D = 1 keeps everything. Throws OptionError outside the range.
 */
export function allocateDensities(density: number): DipDensities {
  if (!(density > LEAST_ALLOCATED_DENSITY && density <= 1)) {
    throw new OptionError(
      `density: out of range, expected a number above ${LEAST_ALLOCATED_DENSITY} and up to 1, got ${density} - ` +
        "below it the allocation has no room for GLU columns; give the input and GLU densities themselves",
    );
  }
  if (density === 1) return { input: 1, glu: 1 };
  const logit = Math.log(density / (1 - density));
  const input = 1 / (1 + Math.exp(-(LOGIT_SLOPE * logit + LOGIT_OFFSET)));
  const glu = 3 * (density - (2 / 3) * input);
  if (glu < 0) {
    throw new OptionError(`density: too small to allocate, expected a GLU density of at least 0, got ${glu}`);
  }
  return { input, glu: Math.min(glu, 1) };
}

/** k = floor(density * size), as the authors' code has it. Throws OptionError unless 0 <= density <= 1. */
export function keptCount(density: number, size: number): number {
  if (!(density >= 0 && density <= 1)) {
    throw new OptionError(
      `density: out of range, expected a fraction from 0 to 1, got ${density} - 1 keeps every column`,
    );
  }
  return Math.floor(density * size);
}

/** Columns kept in an MLP of this shape. */
export function keptCounts(densities: DipDensities, shape: MlpShape): DipCounts {
  return {
    input: keptCount(densities.input, shape.width),
    glu: keptCount(densities.glu, shape.feedForwardWidth),
  };
}

/** MLP weights one token touches in one layer: 2 k_in f + k_glu d. */
export function touchedWeights(counts: DipCounts, { width, feedForwardWidth }: MlpShape): number {
  return 2 * counts.input * feedForwardWidth + counts.glu * width;
}

/** The density that whole columns really give: touched weights / 3 d f. */
export function realisedDensity(counts: DipCounts, shape: MlpShape): number {
  return touchedWeights(counts, shape) / (3 * shape.width * shape.feedForwardWidth);
}

/**
 * The share of neurons (gate and up pruning, CATS) or GLU columns (GLU pruning) that makes an MLP density, where one or
 * two of the three matrices stay dense. Throws OptionError below what these already cost.
 */
export function keptForDensity(
  method: "gluPruning" | "gatePruning" | "upPruning" | "cats",
  density: number,
): number {
  const dense = method === "gluPruning" ? 2 : 1;
  if (!(density >= dense / 3 && density <= 1)) {
    throw new OptionError(
      `density: out of range, expected ${dense}/3 to 1, got ${density} - ${dense === 2 ? "gate and up stay" : "gate or up stays"} dense in this method; dip reaches lower densities`,
    );
  }
  return (3 * density - dense) / (3 - dense);
}
