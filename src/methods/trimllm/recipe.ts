/**
 * What a trimmed checkpoint says about itself: which sublayers of the original model are still there, which tensors went
 * with the others, and how they were chosen (Hu, Rosing, Zhang: TrimLLM, arXiv 2412.11242). Layer numbers are those of the
 * original model, also in tensor names.
 * Invariant: a tensor is listed as absent exactly when a dropped sublayer used it; rewrite.ts refuses anything else.
 */
import { z } from "zod";
import { FormatError } from "../../errors.ts";
import { TIE_BREAKERS } from "./selection.ts";

/** The two kinds of sublayers, each with its own norm. */
const SUBLAYER_KINDS = ["attention", "mlp"] as const;
export type SublayerKind = (typeof SUBLAYER_KINDS)[number];

/** A sublayer of the original model, layers counted from 0. */
export interface SublayerId {
  readonly layer: number;
  readonly kind: SublayerKind;
}

/** How the sublayers were chosen; all of it for readers, nothing of it for executors. */
const originSchema = z.strictObject({
  /** SHA-256 over the tensors of the model it was made from. */
  base: z.string().min(1),
  /** Share of the blocks that was trained, r. */
  trainedShare: z.number().min(0).max(1).optional(),
  tieBreaker: z.enum(TIE_BREAKERS).optional(),
  seed: z.int().min(0).optional(),
  /** Hash of the calibration examples. */
  calibration: z.string().optional(),
});

export const trimRecipeSchema = z.strictObject({
  method: z.literal("trimllm"),
  version: z.literal(1),
  /** One entry per layer of the original model: which of its sublayers are kept. */
  layers: z.array(z.strictObject({ attention: z.boolean(), mlp: z.boolean() })).min(1),
  /** Tensors of the original model that are not in the file, with their shapes. */
  absent: z.array(z.strictObject({ name: z.string().min(1), shape: z.array(z.int().min(1)).min(1) })).min(1),
  origin: originSchema.optional(),
});

export type TrimRecipe = z.infer<typeof trimRecipeSchema>;
export type TrimOrigin = z.infer<typeof originSchema>;

/** `3.attention`, the name of a sublayer in flags, reports and messages. */
export function sublayerName({ layer, kind }: SublayerId): string {
  return `${layer}.${kind}`;
}

/** The sublayer of a name that `sublayerName` made. FormatError for another text. */
export function parseSublayer(name: string): SublayerId {
  const [, layer, kindName] = /^(\d+)\.(\w+)$/.exec(name) ?? [];
  const kind = SUBLAYER_KINDS.find((candidate) => candidate === kindName);
  if (kind === undefined) {
    throw new FormatError(`sublayer: expected a name such as 3.attention or 5.mlp, got ${name}`);
  }
  return { layer: Number(layer), kind };
}

/** Sublayers that the recipe keeps or, with `kept` false, those it dropped; in the order they run. */
export function sublayersOf({ layers }: Pick<TrimRecipe, "layers">, kept: boolean): SublayerId[] {
  return layers.flatMap((bits, layer) =>
    SUBLAYER_KINDS.filter((kind) => bits[kind] === kept).map((kind) => ({ layer, kind })),
  );
}
