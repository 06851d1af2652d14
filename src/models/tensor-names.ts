/**
 * Which tensor of a checkpoint holds which weight. Keys are the weights' names in programs (prefixed
 * `layers.N.` for those of a layer), values the checkpoint's own names with `{layer}` for the layer index.
 * Sources: gguf-py's constants.py for GGUF, the transformers modelling files for Hugging Face folders.
 * A bias has its weight's key plus `.bias` and its tensor's name with `.weight` replaced by `.bias`.
 */

export type ModelWeightKey = "embedding" | "finalNorm" | "head";

export type LayerWeightKey =
  | "attention.norm"
  | "attention.query"
  | "attention.key"
  | "attention.value"
  | "attention.queryNorm"
  | "attention.keyNorm"
  | "attention.output"
  | "feedForward.norm"
  | "feedForward.gate"
  | "feedForward.up"
  | "feedForward.down";

export type TensorNames = { readonly [Key in ModelWeightKey | LayerWeightKey]?: string };

/** Layout shared by most GGUF architectures. */
export const GGUF_NAMES = {
  embedding: "token_embd.weight",
  finalNorm: "output_norm.weight",
  head: "output.weight",
  "attention.norm": "blk.{layer}.attn_norm.weight",
  "attention.query": "blk.{layer}.attn_q.weight",
  "attention.key": "blk.{layer}.attn_k.weight",
  "attention.value": "blk.{layer}.attn_v.weight",
  "attention.output": "blk.{layer}.attn_output.weight",
  "feedForward.norm": "blk.{layer}.ffn_norm.weight",
  "feedForward.gate": "blk.{layer}.ffn_gate.weight",
  "feedForward.up": "blk.{layer}.ffn_up.weight",
  "feedForward.down": "blk.{layer}.ffn_down.weight",
} as const satisfies TensorNames;

/** Layout of LlamaForCausalLM and its descendants. */
export const HUGGING_FACE_NAMES = {
  embedding: "model.embed_tokens.weight",
  finalNorm: "model.norm.weight",
  head: "lm_head.weight",
  "attention.norm": "model.layers.{layer}.input_layernorm.weight",
  "attention.query": "model.layers.{layer}.self_attn.q_proj.weight",
  "attention.key": "model.layers.{layer}.self_attn.k_proj.weight",
  "attention.value": "model.layers.{layer}.self_attn.v_proj.weight",
  "attention.output": "model.layers.{layer}.self_attn.o_proj.weight",
  "feedForward.norm": "model.layers.{layer}.post_attention_layernorm.weight",
  "feedForward.gate": "model.layers.{layer}.mlp.gate_proj.weight",
  "feedForward.up": "model.layers.{layer}.mlp.up_proj.weight",
  "feedForward.down": "model.layers.{layer}.mlp.down_proj.weight",
} as const satisfies TensorNames;

/** The checkpoint's name of a weight; asking for one the table lacks is a bug of the family. */
export function tensorName(names: TensorNames, key: ModelWeightKey | LayerWeightKey, layer?: number): string {
  const pattern = names[key];
  if (pattern === undefined) {
    throw new Error(`tensor names: no tensor for weight ${key}`);
  }
  return layer === undefined ? pattern : pattern.replace("{layer}", String(layer));
}

export function biasTensorName(weightTensor: string): string {
  return weightTensor.replace(/\.weight$/, ".bias");
}
