/**
 * config.json and GGUF metadata of synthetic checkpoints: what transformers' configuration classes save and
 * what llama.cpp's converter writes for each family.
 */
import { float32Field, type GgufField, stringField, uint32Field } from "../../formats/gguf-values.ts";
import type { JsonObject } from "../../formats/model-file.ts";
import { longRopeMagnitude } from "../rotary.ts";
import type { SyntheticFamily, SyntheticShape } from "./shape.ts";
import {
  LLAMA3_HIGH_FREQUENCY_FACTOR,
  LLAMA3_LOW_FREQUENCY_FACTOR,
  longRopeFactors,
  MINICPM_EMBEDDING_FACTOR,
} from "./tensors.ts";
import { ggufVocabulary } from "./vocabulary.ts";

const NORM_EPSILON = 1e-5;
const MINICPM_DEPTH_FACTOR = 1.4;
/** Narrower than any synthetic width, so that the logit factor is not 1. */
const MINICPM_BASE_WIDTH = 32;

const MODEL_CLASSES: Readonly<Record<SyntheticFamily, string>> = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  phi3: "Phi3ForCausalLM",
  minicpm: "MiniCPMForCausalLM",
};

/** config.json */
export function configJson(family: SyntheticFamily, shape: SyntheticShape): JsonObject {
  return {
    architectures: [MODEL_CLASSES[family]],
    model_type: family,
    hidden_size: shape.width,
    intermediate_size: shape.feedForwardWidth,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headWidth,
    vocab_size: shape.vocabularySize,
    max_position_embeddings: shape.contextLength,
    rms_norm_eps: NORM_EPSILON,
    rope_theta: shape.rotaryBase,
    rope_scaling: scalingJson(shape),
    hidden_act: shape.activation,
    ...(shape.activationParameter === undefined ? {} : { hidden_act_param: shape.activationParameter }),
    tie_word_embeddings: shape.tiedHead,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: "float16",
    ...familyJson(family, shape),
  };
}

function familyJson(family: SyntheticFamily, shape: SyntheticShape): JsonObject {
  switch (family) {
    case "llama":
      return { attention_bias: shape.biases, mlp_bias: shape.biases };
    case "mistral":
      return { sliding_window: shape.window ?? null };
    case "qwen2":
      return {
        use_sliding_window: shape.window !== undefined,
        sliding_window: shape.window ?? shape.contextLength,
        max_window_layers: Math.floor(shape.layers / 2),
      };
    case "qwen3":
      return {
        attention_bias: false,
        use_sliding_window: false,
        sliding_window: null,
        max_window_layers: shape.layers,
      };
    case "phi3":
      return {
        sliding_window: shape.window ?? null,
        partial_rotary_factor: shape.rotaryWidth / shape.headWidth,
        original_max_position_embeddings:
          shape.scaling.kind === "longrope" ? shape.scaling.originalContextLength : shape.contextLength,
      };
    case "minicpm":
      return {
        scale_emb: MINICPM_EMBEDDING_FACTOR,
        scale_depth: MINICPM_DEPTH_FACTOR,
        dim_model_base: MINICPM_BASE_WIDTH,
      };
  }
}

function scalingJson(shape: SyntheticShape): JsonObject | null {
  const { scaling } = shape;
  switch (scaling.kind) {
    case "none":
      return null;
    case "linear":
      return { rope_type: "linear", factor: scaling.factor };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: LLAMA3_LOW_FREQUENCY_FACTOR,
        high_freq_factor: LLAMA3_HIGH_FREQUENCY_FACTOR,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case "longrope": {
      const { short, long } = longRopeFactors(shape);
      return {
        rope_type: "longrope",
        short_factor: short,
        long_factor: long,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    }
  }
}

/** GGUF metadata; Mistral models are written as architecture `llama`, as the converter does. */
export function ggufMetadata(
  family: SyntheticFamily,
  shape: SyntheticShape,
  name: string,
): Map<string, GgufField> {
  const architecture = family === "mistral" ? "llama" : family;
  const own: [string, GgufField][] = [
    ["context_length", uint32Field(shape.contextLength)],
    ["embedding_length", uint32Field(shape.width)],
    ["block_count", uint32Field(shape.layers)],
    ["feed_forward_length", uint32Field(shape.feedForwardWidth)],
    ["attention.head_count", uint32Field(shape.heads)],
    ["attention.head_count_kv", uint32Field(shape.kvHeads)],
    ["attention.layer_norm_rms_epsilon", float32Field(NORM_EPSILON)],
    ["attention.key_length", uint32Field(shape.headWidth)],
    ["attention.value_length", uint32Field(shape.headWidth)],
    ["rope.dimension_count", uint32Field(shape.rotaryWidth)],
    ["rope.freq_base", float32Field(shape.rotaryBase)],
    ["vocab_size", uint32Field(shape.vocabularySize)],
    ...scalingFields(shape),
    ...familyFields(family, shape),
  ];
  return new Map([
    ["general.architecture", stringField(architecture)],
    ["general.name", stringField(name)],
    ...own.map(([key, field]): [string, GgufField] => [`${architecture}.${key}`, field]),
    ...ggufVocabulary(shape.vocabularySize),
  ]);
}

function familyFields(family: SyntheticFamily, shape: SyntheticShape): [string, GgufField][] {
  switch (family) {
    case "phi3":
      return shape.window === undefined ? [] : [["attention.sliding_window", uint32Field(shape.window)]];
    case "minicpm":
      return [
        ["embedding_scale", float32Field(MINICPM_EMBEDDING_FACTOR)],
        ["residual_scale", float32Field(MINICPM_DEPTH_FACTOR / Math.sqrt(shape.layers))],
        ["logit_scale", float32Field(shape.width / MINICPM_BASE_WIDTH)],
        // llama.cpp looks for this architecture's factor tensors only where the type says so;
        // phi3 needs no type.
        ...(shape.scaling.kind === "longrope"
          ? [["rope.scaling.type", stringField("longrope")] satisfies [string, GgufField]]
          : []),
      ];
    default:
      return [];
  }
}

function scalingFields(shape: SyntheticShape): [string, GgufField][] {
  const { scaling } = shape;
  switch (scaling.kind) {
    case "none":
    case "llama3": // entirely in the rope_freqs tensor
      return [];
    case "linear":
      return [
        ["rope.scaling.type", stringField("linear")],
        ["rope.scaling.factor", float32Field(scaling.factor)],
      ];
    case "yarn":
      return [
        ["rope.scaling.type", stringField("yarn")],
        ["rope.scaling.factor", float32Field(scaling.factor)],
        ["rope.scaling.original_context_length", uint32Field(scaling.originalContextLength)],
      ];
    case "longrope": {
      const magnitude = longRopeMagnitude(scaling.originalContextLength, shape.contextLength);
      return [
        ["rope.scaling.original_context_length", uint32Field(scaling.originalContextLength)],
        ["rope.scaling.attn_factor", float32Field(magnitude)],
      ];
    }
  }
}
