/**
 * Hyper-parameters from a Hugging Face config.json, as the transformers library's configuration classes
 * define them. Unknown keys are ignored (configs are full of training leftovers); known ones are checked one
 * by one. A folder's query and key rows are always in "halves" order, so rotary pairs are (i, i + width / 2).
 */
import * as z from "zod";
import { FormatError } from "../errors.ts";
import type { HuggingFaceModelFile } from "../formats/model-file.ts";
import { parseActivation } from "./activation.ts";
import {
  deriveHeadWidth,
  type HyperParameters,
  MAX_CONTEXT,
  MAX_HEAD_WIDTH,
  MAX_HEADS,
  MAX_LAYERS,
  MAX_VOCABULARY,
  MAX_WIDTH,
  usableContext,
} from "./hyper-parameters.ts";
import { readHuggingFaceRotary, rotarySchema } from "./huggingface-rotary.ts";
import { DEFAULT_ROTARY_BASE } from "./rotary.ts";

const count = (max: number) => z.int().min(1).max(max);

/** Keys that all supported families share. */
export const baseSchema = z.looseObject({
  hidden_size: count(MAX_WIDTH),
  intermediate_size: count(MAX_WIDTH),
  num_hidden_layers: count(MAX_LAYERS),
  num_attention_heads: count(MAX_HEADS),
  num_key_value_heads: count(MAX_HEADS).nullish(),
  head_dim: count(MAX_HEAD_WIDTH).nullish(),
  vocab_size: count(MAX_VOCABULARY),
  max_position_embeddings: count(MAX_CONTEXT),
  original_max_position_embeddings: count(MAX_CONTEXT).nullish(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.string().default("silu"),
  hidden_act_param: z.number().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  rope_scaling: rotarySchema.nullish(),
  rope_parameters: rotarySchema.nullish(),
});

export type BaseConfig = z.infer<typeof baseSchema>;

/** Parses config.json with a schema; throws FormatError naming the first bad key. */
export function parseConfig<Schema extends z.ZodType>(
  file: HuggingFaceModelFile,
  schema: Schema,
): z.infer<Schema> {
  const result = schema.safeParse(file.config);
  if (result.success) {
    return result.data;
  }
  const issue = result.error.issues[0];
  throw new FormatError(
    `${file.name}: config.json key ${issue.path.join(".")}: ${issue.message} - the file is damaged or not a supported model`,
  );
}

/** What differs between families where config.json is silent. */
export interface FamilyDefaults {
  readonly family: string;
  readonly tiedHead: boolean;
  /** Head width where head_dim is absent; undefined derives it from the model width. */
  readonly headWidth?: number;
}

/**
 * The shared hyper-parameters without attention windows, which families state in their own ways.
 * `contextLength` chooses between the short and the long rotary factors.
 */
export function readHuggingFaceParameters(
  file: HuggingFaceModelFile,
  config: BaseConfig,
  defaults: FamilyDefaults,
  contextLength: number | undefined,
): HyperParameters {
  const source = `${file.name}: config.json`;
  const heads = config.num_attention_heads;
  const headWidth =
    config.head_dim ?? defaults.headWidth ?? deriveHeadWidth(source, config.hidden_size, heads);
  const partial = config.partial_rotary_factor ?? config.rope_parameters?.partial_rotary_factor ?? 1;
  const stated = config.max_position_embeddings;
  const rotary = readHuggingFaceRotary(source, {
    scaling: config.rope_parameters ?? config.rope_scaling ?? undefined,
    base: config.rope_parameters?.rope_theta ?? config.rope_theta ?? DEFAULT_ROTARY_BASE,
    width: Math.floor(headWidth * partial),
    stated,
    original: config.original_max_position_embeddings ?? undefined,
    contextLength: contextLength ?? stated,
  });
  return {
    family: defaults.family,
    layers: config.num_hidden_layers,
    width: config.hidden_size,
    feedForwardWidth: config.intermediate_size,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headWidth,
    vocabularySize: config.vocab_size,
    contextLength: usableContext(stated, rotary.scaling),
    normEpsilon: config.rms_norm_eps,
    activation: parseActivation(source, config.hidden_act, config.hidden_act_param ?? undefined),
    tiedHead: config.tie_word_embeddings ?? defaults.tiedHead,
    rotary,
    windows: Array.from({ length: config.num_hidden_layers }, () => undefined),
  };
}
