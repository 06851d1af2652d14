/**
 * What Tender did to a checkpoint, as it stands in config.json: which linears share which quantizer, and the settings
 * they came from. The numbers themselves (codes, scales, tables) are tensors of the checkpoint, named here.
 * Invariant: a recipe that parses says everything the rewrite needs; a newer version is refused, not guessed at.
 */
import { z } from "zod";
import type { Weight } from "../../program/program.ts";

const count = z.int().min(1);

/** Static ranges per row chunk and channel group, or one range per token. */
const activationsSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("static"),
    bits: z.union([z.literal(4), z.literal(8)]),
    /** The most groups of any chunk. */
    groups: count.max(13),
    chunks: count.max(1 << 16),
    chunkRows: count,
    channelBias: z.boolean(),
  }),
  z.strictObject({ kind: z.literal("dynamic"), limit: count.max(32767) }),
]);

/** One activation and the linears that read it. */
const inputSchema = z.strictObject({
  /** Name of the first linear's weight in the program. */
  name: z.string().min(1),
  /** Names of weights in the program. */
  linears: z.array(z.string().min(1)).min(1),
  codeBits: z.union([z.literal(4), z.literal(8)]),
  activations: activationsSchema,
  /** Linears that have an offset: channel bias times weights, or a bias of their own. */
  offsets: z.array(z.string()),
});

/** Attention whose two products are made of integers. */
const attentionSchema = z.strictObject({
  /** Name of the cache in the program. */
  cache: z.string().min(1),
  bits: z.union([z.literal(4), z.literal(8)]),
  /** The most groups of query channels of any head. */
  groups: count.max(13),
  scoreGroups: count.max(12),
});

export const tenderRecipeSchema = z.strictObject({
  method: z.literal("tender"),
  version: z.literal(1),
  inputs: z.array(inputSchema).min(1),
  attention: z.array(attentionSchema).optional(),
  /** How the recipe was made; nothing at run time depends on it. */
  settings: z.strictObject({
    activationBits: z.union([z.literal(4), z.literal(8), z.literal(16)]),
    weightBits: z.union([z.literal(4), z.literal(8)]),
    groups: count,
    chunkRows: count.nullable(),
    rounding: z.enum(["up", "down"]),
  }),
  calibration: z
    .strictObject({ textSha256: z.string(), tokens: count, segments: count, segmentTokens: count })
    .nullable(),
});

export type TenderRecipe = z.infer<typeof tenderRecipeSchema>;
export type TenderInput = z.infer<typeof inputSchema>;
export type TenderAttention = z.infer<typeof attentionSchema>;

/** Tensors that hold what a linear's integers mean; `inTable`: the weight's tensor also serves as embedding table. */
export function linearTensors(weight: Weight, inTable: boolean) {
  const part = weight.firstRow === 0 ? "" : `.${weight.firstRow}`;
  return {
    codes: inTable ? `${weight.tensor}_codes` : weight.tensor,
    scales: `${weight.tensor}_scale${part}`,
    offset: `${weight.tensor}_offset${part}`,
  };
}

/** Tensors of a static quantizer, one dimension each. */
export function inputTensors(name: string) {
  return {
    bias: `skim.${name}.input_bias`,
    exponents: `skim.${name}.input_exponents`,
    scales: `skim.${name}.input_scale`,
  };
}

/** Tensors of attention's integer products, one dimension each. */
export function attentionTensors(cache: string) {
  return {
    queryBias: `skim.${cache}.query_bias`,
    queryExponents: `skim.${cache}.query_exponents`,
    queryScales: `skim.${cache}.query_scale`,
    keyBias: `skim.${cache}.key_bias`,
    valueScales: `skim.${cache}.value_scale`,
  };
}
