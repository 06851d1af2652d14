/**
 * adapter_config.json of the PEFT library: what multiplies an adapter's product, and what this file can ask for that goes
 * beyond W + factor B A. Source: huggingface/peft, LoraConfig and "PEFT checkpoint format".
 * Invariant: whatever would make merged weights differ from what PEFT computes is refused by name.
 */
import { z } from "zod";
import { FormatError, UnsupportedError } from "../../errors.ts";
import { checkSchema } from "../../formats/json-file.ts";
import type { JsonObject } from "../../formats/model-file.ts";

export const ADAPTER_CONFIG_FILE = "adapter_config.json";

const flag = z.boolean().nullish();
const pattern = z.record(z.string().max(1000), z.number()).nullish();
const schema = z.looseObject({
  peft_type: z.string(),
  r: z.int().min(1),
  lora_alpha: z.number(),
  use_rslora: flag,
  rank_pattern: pattern,
  alpha_pattern: pattern,
  use_dora: flag,
  use_qalora: flag,
  lora_bias: flag,
  fan_in_fan_out: flag,
  bias: z.string().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});

export type AdapterConfig = z.infer<typeof schema>;

/** Initialisations that leave the base weights changed: adapters saved from them do not belong to the published ones. */
const REBASING = /^(?:pissa|olora|corda|loftq|lora_ga)/i;
/** Fields that add something beside the products, when they hold anything. */
const ADDITIONS = [
  "modules_to_save",
  "layer_replication",
  "trainable_token_indices",
  "target_parameters",
  "alora_invocation_tokens",
  "arrow_config",
] as const;

/** FormatError for a damaged file, UnsupportedError for adapters that are more than W + factor B A. */
export function checkAdapterConfig(name: string, json: JsonObject): AdapterConfig {
  const config = checkSchema(name, schema, json);
  const refuse = (field: string, value: unknown, advice: string) =>
    new UnsupportedError(`${name}: ${field} is ${JSON.stringify(value)}, expected plain LoRA - ${advice}`);
  if (config.peft_type !== "LORA")
    throw refuse("peft_type", config.peft_type, "merge the adapter with the library it comes from");
  for (const field of ["use_dora", "use_qalora", "lora_bias", "fan_in_fan_out"] as const) {
    if (config[field] === true) throw refuse(field, true, "merge the adapter with the library it comes from");
  }
  if (config.bias !== undefined && config.bias !== null && config.bias !== "none") {
    throw refuse("bias", config.bias, "merge the adapter with the library it comes from");
  }
  if (typeof config.init_lora_weights === "string" && REBASING.test(config.init_lora_weights)) {
    throw refuse(
      "init_lora_weights",
      config.init_lora_weights,
      "save it converted to LoRA of the base model",
    );
  }
  for (const field of ADDITIONS) {
    const value = config[field];
    const isEmpty = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    if (!isEmpty) throw refuse(field, value, "merge the adapter with the library it comes from");
  }
  return config;
}

/** What B A of a module is multiplied by: alpha / r, alpha / sqrt(r) with rslora. FormatError when r is not the config's. */
export function factorOf(name: string, config: AdapterConfig, module: string, rank: number): number {
  const expected = matching(name, config.rank_pattern, module) ?? config.r;
  if (rank !== expected) {
    throw new FormatError(
      `${name}: the rank of ${module} is ${rank} in the tensors, expected ${expected} - the files do not belong together`,
    );
  }
  const alpha = matching(name, config.alpha_pattern, module) ?? config.lora_alpha;
  return alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank);
}

/** The value of the first key, a regular expression, that the end of a module's path matches. */
function matching(
  name: string,
  values: Readonly<Record<string, number>> | null | undefined,
  module: string,
): number | undefined {
  for (const [key, value] of Object.entries(values ?? {})) {
    try {
      if (new RegExp(`^(?:.*\\.)?(?:${key})$`).test(module)) return value;
    } catch (cause) {
      throw new FormatError(`${name}: pattern "${key}" is no regular expression - the file is damaged`, {
        cause,
      });
    }
  }
  return undefined;
}

/** Rank and factor of a module's adapter. */
export interface ModuleFacts {
  readonly module: string;
  readonly rank: number;
  readonly factor: number;
}

/** A config that says this about `modules`; `baseModel` is where the weights they belong to come from. */
export function adapterConfigJson(baseModel: string, modules: readonly ModuleFacts[]): JsonObject {
  const last = (module: string) => module.slice(module.lastIndexOf(".") + 1);
  const r = Math.min(...modules.map(({ rank }) => rank));
  const alpha = modules[0].factor * r;
  const others = modules.filter(({ rank, factor }) => rank !== r || factor * rank !== alpha);
  const table = (value: (facts: ModuleFacts) => number) =>
    Object.fromEntries(others.map((facts) => [last(facts.module), value(facts)]));
  return {
    alpha_pattern: table(({ rank, factor }) => factor * rank),
    base_model_name_or_path: baseModel,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r,
    rank_pattern: table(({ rank }) => rank),
    target_modules: [...new Set(modules.map(({ module }) => last(module)))].sort(),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  };
}
