/**
 * A model to train from scratch: a Llama-architecture config and random weights in the layout of a Hugging
 * Face folder, as a ModelFile that exists only in memory. Initialisation follows GPT-2 (Radford et al. 2019):
 * normal with deviation 0.02, projections onto the residual stream divided by sqrt(2 layers), norms one.
 * Invariant: shape and seed determine every weight.
 */
import { FormatError, OptionError } from "../errors.ts";
import type { HuggingFaceModelFile, JsonObject, TensorInfo } from "../formats/model-file.ts";
import { elementCount } from "../formats/tensor-layout.ts";
import { normalValues } from "../models/synthetic/random.ts";
import { f32 } from "../quantization/f32.ts";
import { formatBytes } from "../quantization/weight-format.ts";

export interface FreshShape {
  readonly layers: number;
  /** D */
  readonly width: number;
  /** H */
  readonly heads: number;
  /** K */
  readonly kvHeads: number;
  /** F */
  readonly feedForwardWidth: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly tiedHead: boolean;
  /** A `hidden_act` of config.json. */
  readonly activation: string;
}

/** The tokenizer's files, and the ids config.json repeats. */
export interface FreshTokenizer {
  readonly json: JsonObject;
  readonly config: JsonObject;
  readonly bosId: number;
  readonly eosId: number;
}

const DEVIATION = 0.02;

/** Throws OptionError when the shape makes no model. */
export function createFreshModel(
  shape: FreshShape,
  seed: number,
  tokenizer: FreshTokenizer,
): HuggingFaceModelFile {
  checkShape(shape);
  const shapes = tensorShapes(shape);
  const tensors = new Map<string, TensorInfo>(
    [...shapes].map(([name, dimensions]) => [
      name,
      { name, shape: dimensions, format: f32, bytes: 4 * elementCount(dimensions) },
    ]),
  );
  return {
    container: "huggingface",
    name: "new model",
    architecture: "llama",
    config: configJson(shape, tokenizer),
    generationConfig: undefined,
    tokenizerConfig: tokenizer.config,
    chatTemplate: undefined,
    tensors,
    tensorBytes: [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    async readTokenizer() {
      return tokenizer.json;
    },
    async readRows(tensor, firstRow, rowCount, target) {
      const dimensions = shapes.get(tensor);
      if (dimensions === undefined) throw new FormatError(`new model: no tensor ${tensor}`);
      const columns = dimensions[dimensions.length - 1];
      const values = initialValues(tensor, dimensions, shape.layers, seed);
      const rows = values.subarray(firstRow * columns, (firstRow + rowCount) * columns);
      if (f32.encode === undefined || target.length !== formatBytes(f32, rows.length))
        throw new Error("new model: rows asked for do not fit the target");
      f32.encode(rows, target);
    },
    async close() {},
  };
}

function initialValues(
  tensor: string,
  dimensions: readonly number[],
  layers: number,
  seed: number,
): Float32Array {
  const count = elementCount(dimensions);
  if (dimensions.length === 1) return new Float32Array(count).fill(1);
  const residual = tensor.endsWith("o_proj.weight") || tensor.endsWith("down_proj.weight");
  return normalValues(seed, tensor, count, 0, residual ? DEVIATION / Math.sqrt(2 * layers) : DEVIATION);
}

/** Tensor names and shapes of LlamaForCausalLM. */
function tensorShapes(shape: FreshShape): ReadonlyMap<string, readonly number[]> {
  const { layers, width, heads, kvHeads, feedForwardWidth, vocabularySize } = shape;
  const shared = (width / heads) * kvHeads;
  const shapes = new Map<string, readonly number[]>([["model.embed_tokens.weight", [vocabularySize, width]]]);
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    shapes.set(`${prefix}.input_layernorm.weight`, [width]);
    shapes.set(`${prefix}.self_attn.q_proj.weight`, [width, width]);
    shapes.set(`${prefix}.self_attn.k_proj.weight`, [shared, width]);
    shapes.set(`${prefix}.self_attn.v_proj.weight`, [shared, width]);
    shapes.set(`${prefix}.self_attn.o_proj.weight`, [width, width]);
    shapes.set(`${prefix}.post_attention_layernorm.weight`, [width]);
    shapes.set(`${prefix}.mlp.gate_proj.weight`, [feedForwardWidth, width]);
    shapes.set(`${prefix}.mlp.up_proj.weight`, [feedForwardWidth, width]);
    shapes.set(`${prefix}.mlp.down_proj.weight`, [width, feedForwardWidth]);
  }
  shapes.set("model.norm.weight", [width]);
  if (!shape.tiedHead) shapes.set("lm_head.weight", [vocabularySize, width]);
  return shapes;
}

function configJson(shape: FreshShape, { bosId, eosId }: FreshTokenizer): JsonObject {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.width,
    intermediate_size: shape.feedForwardWidth,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocabularySize,
    max_position_embeddings: shape.contextLength,
    hidden_act: shape.activation,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: shape.tiedHead,
    attention_bias: false,
    mlp_bias: false,
    bos_token_id: bosId,
    eos_token_id: eosId,
    torch_dtype: "float32",
  };
}

function checkShape(shape: FreshShape): void {
  const { width, heads, kvHeads } = shape;
  if (width % heads !== 0 || (width / heads) % 2 !== 0 || heads % kvHeads !== 0) {
    throw new OptionError(
      `model shape: expected a width that is an even multiple of the heads and heads a multiple of the key/value heads, ` +
        `got width ${width}, ${heads} heads, ${kvHeads} key/value heads - change --width, --heads or --kv-heads`,
    );
  }
}
