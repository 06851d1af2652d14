/** The recipe of sparse feed-forward: which layers skip neurons, exactly or as a predictor says, and how many live on average. */
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
        /** Approximate mode: a predictor chooses the neurons, and gate is read by rows too. Its weights are in the file. */
        predictor: z
          .strictObject({
            rank: z.int().min(1),
            /** Share of the neurons that it chose, and share of the live ones among them, on held-out text. */
            predictedShare: z.number().min(0).max(1),
            recall: z.number().min(0).max(1),
          })
          .optional(),
      }),
    )
    .min(1),
});

export type ProSparseRecipe = z.infer<typeof proSparseRecipeSchema>;

/** Names of a layer's predictor in the file: [rank, width] and [neurons, rank]. */
export function predictorTensors(layer: number): { readonly inner: string; readonly outer: string } {
  const name = `skim.layers.${layer}.predictor`;
  return { inner: `${name}.inner.weight`, outer: `${name}.outer.weight` };
}
