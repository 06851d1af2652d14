/**
 * Rotary scaling from config.json: `rope_scaling` of older folders, `rope_parameters` of newer ones (which
 * also hold `rope_theta`). Semantics follow transformers' modeling_rope_utils: default, linear, llama3,
 * yarn, longrope (`su` in the first Phi-3 folders). Dynamic NTK changes its frequencies with the length of
 * the text and is refused.
 */
import * as z from "zod";
import { FormatError, UnsupportedError } from "../errors.ts";
import { longRopeMagnitude, type RotaryParameters, type RotaryScaling, yarnMagnitude } from "./rotary.ts";

const positive = z.number().positive();

/** Keys of all scalings; which of them must be there depends on the type. */
export const rotarySchema = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: positive.max(1).nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: z.int().positive().nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().nullish(),
  attention_factor: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  short_factor: z.array(positive).nullish(),
  long_factor: z.array(positive).nullish(),
});

type RotaryConfig = z.infer<typeof rotarySchema>;

export interface RotaryContext {
  readonly scaling: RotaryConfig | undefined;
  readonly base: number;
  /** Rotated elements per head. */
  readonly width: number;
  /** max_position_embeddings */
  readonly stated: number;
  /** original_max_position_embeddings of the config's top level. */
  readonly original: number | undefined;
  /** Context the engine will run with. */
  readonly contextLength: number;
}

/** Throws FormatError for missing keys, UnsupportedError for scalings skim does not do. */
export function readHuggingFaceRotary(source: string, context: RotaryContext): RotaryParameters {
  const plain: RotaryParameters = {
    base: context.base,
    width: context.width,
    pairing: "halves",
    divisors: undefined,
    scaling: { kind: "none" },
    magnitude: 1,
  };
  const config = context.scaling;
  const type = config?.rope_type ?? config?.type ?? "default";
  if (config === undefined || type === "default") {
    return plain;
  }
  const need = <Value>(key: string, value: Value | null | undefined): Value => {
    if (value === null || value === undefined) {
      throw new FormatError(
        `${source} key rope_scaling.${key}, expected a value for rope type ${type}, got nothing - the file is damaged`,
      );
    }
    return value;
  };
  const original = config.original_max_position_embeddings ?? context.original;
  switch (type) {
    case "linear":
      return { ...plain, scaling: { kind: "linear", factor: need("factor", config.factor) } };
    case "llama3":
      return {
        ...plain,
        scaling: llama3(
          source,
          need("factor", config.factor),
          need("low_freq_factor", config.low_freq_factor),
          need("high_freq_factor", config.high_freq_factor),
          need("original_max_position_embeddings", original),
        ),
      };
    case "yarn":
      return { ...plain, ...yarn(config, original ?? context.stated, need("factor", config.factor)) };
    case "su":
    case "longrope":
      return {
        ...plain,
        ...longRope(
          context,
          original ?? context.stated,
          config,
          need("short_factor", config.short_factor),
          need("long_factor", config.long_factor),
        ),
      };
    default:
      throw new UnsupportedError(
        `${source}: rope type ${JSON.stringify(type)}, expected default, linear, llama3, yarn or longrope - use a model with one of them`,
      );
  }
}

function llama3(
  source: string,
  factor: number,
  lowFrequencyFactor: number,
  highFrequencyFactor: number,
  originalContextLength: number,
): RotaryScaling {
  if (highFrequencyFactor <= lowFrequencyFactor) {
    throw new FormatError(
      `${source} key rope_scaling.high_freq_factor, expected more than low_freq_factor ${lowFrequencyFactor}, got ${highFrequencyFactor} - the file is damaged`,
    );
  }
  return { kind: "llama3", factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength };
}

function yarn(
  config: RotaryConfig,
  originalContextLength: number,
  factor: number,
): Pick<RotaryParameters, "scaling" | "magnitude"> {
  const scaling: RotaryScaling = {
    kind: "yarn",
    factor,
    originalContextLength,
    betaFast: config.beta_fast ?? 32,
    betaSlow: config.beta_slow ?? 1,
    truncate: config.truncate ?? true,
  };
  // The ratio form is DeepSeek's: both multipliers must be given and non-zero.
  const natural =
    config.mscale && config.mscale_all_dim
      ? yarnMagnitude(factor, config.mscale) / yarnMagnitude(factor, config.mscale_all_dim)
      : yarnMagnitude(factor);
  return { scaling, magnitude: config.attention_factor ?? natural };
}

function longRope(
  context: RotaryContext,
  original: number,
  config: RotaryConfig,
  shortFactor: readonly number[],
  longFactor: readonly number[],
): Pick<RotaryParameters, "divisors" | "magnitude"> {
  // Where the config does not tell the original context apart from the stated one, `factor` does.
  const extended = original === context.stated ? original * (config.factor ?? 1) : context.stated;
  return {
    divisors: context.contextLength > original ? longFactor : shortFactor,
    magnitude: config.attention_factor ?? longRopeMagnitude(original, extended),
  };
}
