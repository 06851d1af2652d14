/**
 * 4-bit weights in groups of consecutive inputs, each with a 16-bit scale: the plain scheme of Q4_0, GPTQ and AWQ files, here
 * with round-to-nearest weights. Not part of Tender: its scales lie along the sum, which Tender's single accumulator
 * excludes. Activations are not part of the recipe.
 * Invariant: a recipe names every weight it covers; codes are -7..7, so that the negative of a weight has its negative code.
 */
import { z } from "zod";

export const inputGroupsRecipeSchema = z.strictObject({
  method: z.literal("inputGroups"),
  version: z.literal(1),
  bits: z.literal(4),
  /** Inputs that share a scale. */
  size: z.union([z.literal(32), z.literal(64), z.literal(128)]),
  /** Tensors that hold codes [rows, columns]; their scales are `<tensor>_scale` [rows, columns / size] in F16. */
  tensors: z.array(z.string().min(1)).min(1),
});

export type InputGroupsRecipe = z.infer<typeof inputGroupsRecipeSchema>;

export function groupScaleTensor(tensor: string): string {
  return `${tensor}_scale`;
}
