/**
 * Random tensors of a synthetic checkpoint, in the layout of the family's Hugging Face folder, and their
 * translation into the family's GGUF layout as llama.cpp's converter does it: other names, query and key rows
 * permuted where the architecture rotates neighbours, rotary factors as tensors.
 * Standard deviations are 1 / sqrt(inputs), norm weights lie around 1 and biases are far from 0, so that a
 * mistake anywhere shows in the logits.
 */
import { llama3Divisors, rotaryFrequencies } from "../rotary.ts";
import { biasTensorName, GGUF_NAMES, HUGGING_FACE_NAMES } from "../tensor-names.ts";
import { normalValues } from "./random.ts";
import type { SyntheticFamily, SyntheticShape } from "./shape.ts";

export interface SyntheticTensor {
  readonly name: string;
  /** [outputs, inputs] or [length] */
  readonly shape: readonly number[];
  values(): Float32Array;
}

/** MiniCPM's scale_emb; its embeddings are drawn smaller by it, as in the trained models. */
export const MINICPM_EMBEDDING_FACTOR = 12;

const NORM_DEVIATION = 0.2;
const BIAS_DEVIATION = 0.3;

/** GGUF names of tensors that the common table lacks, by the suffix of the folder's name. */
const OTHER_GGUF_NAMES: ReadonlyMap<string, string> = new Map([
  ["self_attn.q_norm.weight", "attn_q_norm.weight"],
  ["self_attn.k_norm.weight", "attn_k_norm.weight"],
  ["self_attn.qkv_proj.weight", "attn_qkv.weight"],
  ["mlp.gate_up_proj.weight", "ffn_up.weight"],
]);

/** Families whose GGUF rows of query and key are permuted for neighbouring rotary pairs. */
const PERMUTED: ReadonlySet<SyntheticFamily> = new Set(["llama", "mistral", "minicpm"]);

/** All tensors of the Hugging Face folder. */
export function folderTensors(
  family: SyntheticFamily,
  shape: SyntheticShape,
  seed: number,
): SyntheticTensor[] {
  const { width, vocabularySize } = shape;
  const vector = (name: string, length: number, mean: number, deviation: number): SyntheticTensor => ({
    name,
    shape: [length],
    values: () => normalValues(seed, name, length, mean, deviation),
  });
  const matrix = (name: string, rows: number, columns: number, deviation = 1 / Math.sqrt(columns)) => ({
    name,
    shape: [rows, columns],
    values: () => normalValues(seed, name, rows * columns, 0, deviation),
  });
  const norm = (name: string, length: number) => vector(name, length, 1, NORM_DEVIATION);
  const bias = (name: string, length: number) => vector(biasTensorName(name), length, 0, BIAS_DEVIATION);
  const draw = { matrix, norm, bias };
  const embeddingDeviation =
    family === "minicpm" ? 1 / MINICPM_EMBEDDING_FACTOR : shape.tiedHead ? 1 / Math.sqrt(width) : 1;
  return [
    matrix(HUGGING_FACE_NAMES.embedding, vocabularySize, width, embeddingDeviation),
    ...Array.from({ length: shape.layers }, (_, layer) => layerTensors(family, shape, layer, draw)).flat(),
    norm(HUGGING_FACE_NAMES.finalNorm, width),
    ...(shape.tiedHead ? [] : [matrix(HUGGING_FACE_NAMES.head, vocabularySize, width)]),
  ];
}

interface Draw {
  matrix(name: string, rows: number, columns: number): SyntheticTensor;
  norm(name: string, length: number): SyntheticTensor;
  bias(weightName: string, length: number): SyntheticTensor;
}

function layerTensors(
  family: SyntheticFamily,
  shape: SyntheticShape,
  layer: number,
  { matrix, norm, bias }: Draw,
): SyntheticTensor[] {
  const { width, feedForwardWidth, heads, kvHeads, headWidth } = shape;
  const [queryRows, kvRows] = [heads * headWidth, kvHeads * headWidth];
  const name = (suffix: string) => `model.layers.${layer}.${suffix}.weight`;
  const withBias = (suffix: string, rows: number, columns: number, hasBias: boolean) => [
    matrix(name(suffix), rows, columns),
    ...(hasBias ? [bias(name(suffix), rows)] : []),
  ];
  const projectionBias = shape.biases || family === "qwen2";
  const fused = family === "phi3";
  return [
    norm(name("input_layernorm"), width),
    ...(fused
      ? [matrix(name("self_attn.qkv_proj"), queryRows + 2 * kvRows, width)]
      : [
          ...withBias("self_attn.q_proj", queryRows, width, projectionBias),
          ...withBias("self_attn.k_proj", kvRows, width, projectionBias),
          ...withBias("self_attn.v_proj", kvRows, width, projectionBias),
        ]),
    ...(family === "qwen3"
      ? [norm(name("self_attn.q_norm"), headWidth), norm(name("self_attn.k_norm"), headWidth)]
      : []),
    ...withBias("self_attn.o_proj", width, queryRows, shape.biases),
    norm(name("post_attention_layernorm"), width),
    ...(fused
      ? [matrix(name("mlp.gate_up_proj"), 2 * feedForwardWidth, width)]
      : [
          ...withBias("mlp.gate_proj", feedForwardWidth, width, shape.biases),
          ...withBias("mlp.up_proj", feedForwardWidth, width, shape.biases),
        ]),
    ...withBias("mlp.down_proj", width, feedForwardWidth, shape.biases),
  ];
}

/** The same tensors as llama.cpp's converter would write them, plus rotary factors. */
export function ggufTensors(
  family: SyntheticFamily,
  shape: SyntheticShape,
  tensors: readonly SyntheticTensor[],
): SyntheticTensor[] {
  const translated = tensors.map((tensor): SyntheticTensor => {
    const name = ggufName(tensor.name);
    const heads = /\.attn_q\./.test(name) ? shape.heads : /\.attn_k\./.test(name) ? shape.kvHeads : 0;
    const values =
      heads > 0 && PERMUTED.has(family)
        ? () => permuteRows(tensor.values(), heads, shape.headWidth)
        : tensor.values;
    return { name, shape: tensor.shape, values };
  });
  return [...translated, ...rotaryTensors(shape)];
}

function ggufName(name: string): string {
  const layer = /^model\.layers\.(\d+)\.(.*)$/.exec(name);
  const pattern = layer === null ? name : `model.layers.{layer}.${layer[2]}`;
  const weightPattern = pattern.replace(/\.bias$/, ".weight");
  const suffix = pattern.endsWith(".bias") ? ".bias" : ".weight";
  const keys = Object.keys(HUGGING_FACE_NAMES) as (keyof typeof HUGGING_FACE_NAMES)[];
  const key = keys.find((candidate) => HUGGING_FACE_NAMES[candidate] === weightPattern);
  const other = layer === null ? undefined : OTHER_GGUF_NAMES.get(layer[2]);
  const gguf = key === undefined ? other && `blk.{layer}.${other}` : GGUF_NAMES[key];
  if (gguf === undefined) {
    throw new Error(`synthetic checkpoint: no GGUF name for ${name}`);
  }
  return gguf.replace("{layer}", layer?.[1] ?? "").replace(/\.weight$/, suffix);
}

/** Row (half h, pair i) of each head moves to row 2 i + h; works on matrices and biases alike. */
function permuteRows(values: Float32Array, heads: number, headWidth: number): Float32Array {
  const columns = values.length / (heads * headWidth);
  const permuted = new Float32Array(values.length);
  for (let row = 0; row < heads * headWidth; row++) {
    const [head, inHead] = [Math.floor(row / headWidth), row % headWidth];
    const [half, pair] = [Math.floor(inHead / (headWidth / 2)), inHead % (headWidth / 2)];
    const target = head * headWidth + 2 * pair + half;
    permuted.set(values.subarray(row * columns, (row + 1) * columns), target * columns);
  }
  return permuted;
}

/** LongRoPE factors of a synthetic checkpoint: rising with the pair's index, different for short and long. */
export function longRopeFactors(shape: SyntheticShape): {
  readonly short: number[];
  readonly long: number[];
} {
  const pairs = shape.rotaryWidth / 2;
  return {
    short: Array.from({ length: pairs }, (_, i) => Math.fround(1 + 0.25 * i)),
    long: Array.from({ length: pairs }, (_, i) => Math.fround(1 + 1.5 * i)),
  };
}

/** Llama 3's low_freq_factor and high_freq_factor in synthetic checkpoints; the published values. */
export const LLAMA3_LOW_FREQUENCY_FACTOR = 1;
export const LLAMA3_HIGH_FREQUENCY_FACTOR = 4;

function rotaryTensors(shape: SyntheticShape): SyntheticTensor[] {
  const pairs = shape.rotaryWidth / 2;
  const vector = (name: string, factors: readonly number[]): SyntheticTensor => ({
    name,
    shape: [pairs],
    values: () => Float32Array.from(factors),
  });
  if (shape.scaling.kind === "longrope") {
    const { short, long } = longRopeFactors(shape);
    return [vector("rope_factors_long.weight", long), vector("rope_factors_short.weight", short)];
  }
  if (shape.scaling.kind === "llama3") {
    const divisors = llama3Divisors(rotaryFrequencies(shape.rotaryBase, shape.rotaryWidth), {
      ...shape.scaling,
      lowFrequencyFactor: LLAMA3_LOW_FREQUENCY_FACTOR,
      highFrequencyFactor: LLAMA3_HIGH_FREQUENCY_FACTOR,
    });
    return [vector("rope_freqs.weight", divisors)];
  }
  return [];
}
