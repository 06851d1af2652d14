/** The recipe of exact sparse feed-forward: which layers skip neurons whose gate is zero, and how many live on average. */
import { z } from "zod";

export const proSparseRecipeSchema = z.strictObject({
  method: z.literal("prosparse"),
  version: z.literal(1),
  /** Layers not named stay dense. */
  layers: z
    .array(
      z.strictObject({
        layer: z.int().min(0),
        /** Share of the neurons whose gate let something through when it was measured, for counting bytes. */
        liveShare: z.number().min(0).max(1),
      }),
    )
    .min(1),
});

export type ProSparseRecipe = z.infer<typeof proSparseRecipeSchema>;
