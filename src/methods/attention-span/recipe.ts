/** The recipe of a model that states its attention spans: what the run time must know beside the vocabulary. */
import { z } from "zod";

export const attentionSpanRecipeSchema = z.strictObject({
  method: z.literal("attention-span"),
  version: z.literal(1),
  /** Text that every prompt begins with; with the leading token it stays visible always. */
  instruction: z.string(),
  /** What headers see: everything, or the prompt and the headers before them. */
  headers: z.enum(["full", "skeleton"]),
});

export type AttentionSpanRecipe = z.infer<typeof attentionSpanRecipeSchema>;
