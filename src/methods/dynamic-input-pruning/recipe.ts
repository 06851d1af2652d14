/**
 * What a checkpoint or a run says about skipped columns. One recipe covers the family of methods that choose by magnitude:
 * Dynamic Input Pruning (input and glu by density), GLU pruning (glu alone), gate and up pruning (neurons by density), CATS
 * (neurons by thresholds on the gate, arXiv 2404.08763), TEAL (thresholds on all inputs, arXiv 2408.14690).
 * Invariant: a recipe that parses is complete; densities are fractions, k = floor(density * width) is taken once.
 */
import { z } from "zod";
import { allocateDensities } from "./densities.ts";

const fraction = z.number().min(0).max(1);

/** Which columns of an input are kept; absent means the linear stays dense. */
const choiceSchema = z.discriminatedUnion("kind", [
  /** floor(density * width) columns of largest |x|. */
  z.strictObject({ kind: z.literal("density"), density: fraction }),
  /** |x| >= threshold, one per layer. */
  z.strictObject({
    kind: z.literal("thresholds"),
    thresholds: z.array(z.number().min(0)).min(1),
    /** Share of the values that each threshold kept where it was measured, for counting bytes. */
    shares: z.array(fraction).min(1).optional(),
  }),
]);

export const columnRecipeSchema = z.strictObject({
  method: z.literal("dynamic-input-pruning"),
  version: z.literal(1),
  /** Input of gate and up, which share one choice. */
  input: choiceSchema.optional(),
  /** Input of down: the output of the gated unit. */
  glu: choiceSchema.optional(),
  /** Input of query, key and value, which share one choice. */
  attentionInput: choiceSchema.optional(),
  /** Input of the attention's output projection. */
  attended: choiceSchema.optional(),
  /**
   * Neurons, by |activation(gate)| or |up|: that matrix stays dense, rows of the other and columns of down are skipped. In
   * place of input and glu.
   */
  neurons: z.strictObject({ by: z.enum(["gate", "up"]), choice: choiceSchema }).optional(),
});

export type ColumnChoice = z.infer<typeof choiceSchema>;
export type ColumnRecipe = z.infer<typeof columnRecipeSchema>;

/** DIP at an MLP density, shared out between input and GLU as the paper does. Throws OptionError out of range. */
export function dipRecipe(density: number): ColumnRecipe {
  const { input, glu } = allocateDensities(density);
  return freeRecipe(input, glu);
}

/** CATS: neurons whose activated gate reaches its layer's threshold. */
export function catsRecipe(choice: ColumnChoice): ColumnRecipe {
  return { method: "dynamic-input-pruning", version: 1, neurons: { by: "gate", choice } };
}

/** Gate or up pruning that keeps this share of the neurons. */
export function neuronRecipe(by: "gate" | "up", kept: number): ColumnRecipe {
  const choice: ColumnChoice = { kind: "density", density: kept };
  return { method: "dynamic-input-pruning", version: 1, neurons: { by, choice } };
}

/** DIP with the two densities given; undefined leaves that side dense. */
export function freeRecipe(input: number | undefined, glu: number | undefined): ColumnRecipe {
  const choice = (density: number): ColumnChoice => ({ kind: "density", density });
  return {
    method: "dynamic-input-pruning",
    version: 1,
    ...(input === undefined ? {} : { input: choice(input) }),
    ...(glu === undefined ? {} : { glu: choice(glu) }),
  };
}
