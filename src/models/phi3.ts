/**
 * Phi-3, Phi-3.5 and Phi-4: query, key and value fused into one matrix, gate and up into another; LongRoPE
 * factors; partial rotation (Phi-4-mini); a sliding window in some sizes.
 * Sources: transformers' modeling_phi3.py and configuration_phi3.py; llama.cpp architecture `phi3`, whose
 * tensors `attn_qkv` and `ffn_up` (gate rows first) stay fused. Rotary pairs are halves in both containers.
 */
import * as z from "zod";
import type { HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Buffer, Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { readGgufParameters } from "./gguf-config.ts";
import { baseSchema, parseConfig, readHuggingFaceParameters } from "./huggingface-config.ts";
import { checkConsistency, type HyperParameters, MAX_CONTEXT } from "./hyper-parameters.ts";
import {
  downProjection,
  emitAttention,
  emitEmbedding,
  emitGatedUnit,
  emitHead,
  emitLayerNorm,
  emitResidual,
  outputProjection,
  type Projection,
  type QueryKeyValue,
} from "./layers.ts";
import { buildRotaryTable } from "./rotary.ts";
import { GGUF_NAMES, HUGGING_FACE_NAMES } from "./tensor-names.ts";
import { WeightTable } from "./weight-table.ts";

const ggufNames = {
  ...GGUF_NAMES,
  "attention.query": "blk.{layer}.attn_qkv.weight",
  "attention.key": "blk.{layer}.attn_qkv.weight",
  "attention.value": "blk.{layer}.attn_qkv.weight",
  "feedForward.gate": "blk.{layer}.ffn_up.weight",
  "feedForward.up": "blk.{layer}.ffn_up.weight",
} as const;

const folderNames = {
  ...HUGGING_FACE_NAMES,
  "attention.query": "model.layers.{layer}.self_attn.qkv_proj.weight",
  "attention.key": "model.layers.{layer}.self_attn.qkv_proj.weight",
  "attention.value": "model.layers.{layer}.self_attn.qkv_proj.weight",
  "feedForward.gate": "model.layers.{layer}.mlp.gate_up_proj.weight",
  "feedForward.up": "model.layers.{layer}.mlp.gate_up_proj.weight",
} as const;

const phi3Schema = baseSchema.extend({
  sliding_window: z.int().min(1).max(MAX_CONTEXT).nullish(),
});

export const phi3: ModelFamily = {
  name: "phi3",
  ggufArchitectures: ["phi3"],
  modelTypes: ["phi3"],
  async load(file, contextLength): Promise<LoadedModel> {
    const parameters =
      file.container === "gguf"
        ? await readGgufParameters(file, "phi3", "halves", contextLength)
        : readFolder(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitPhi3(file, parameters) };
  },
};

function readFolder(file: HuggingFaceModelFile, contextLength: number | undefined): HyperParameters {
  const config = parseConfig(file, phi3Schema);
  const defaults = { family: "phi3", tiedHead: false };
  const base = readHuggingFaceParameters(file, config, defaults, contextLength);
  return { ...base, windows: base.windows.map(() => config.sliding_window ?? undefined) };
}

/** Rows of the fused tensor [(H + 2 K) d, D]: queries, then keys, then values. */
function emitFusedQueryKeyValue(
  builder: ProgramBuilder,
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
  x: Buffer,
): QueryKeyValue {
  const { width, heads, kvHeads, headWidth } = parameters;
  const queryRows = heads * headWidth;
  const kvRows = kvHeads * headWidth;
  const tensorRows = queryRows + 2 * kvRows;
  const query = weights.layerMatrix(layer, "attention.query", queryRows, width, { firstRow: 0, tensorRows });
  const key = weights.layerMatrix(layer, "attention.key", kvRows, width, { firstRow: queryRows, tensorRows });
  const value = weights.layerMatrix(layer, "attention.value", kvRows, width, {
    firstRow: queryRows + kvRows,
    tensorRows,
  });
  return {
    query: builder.linear(x, query, undefined, "query"), // [T, H d]
    key: builder.linear(x, key, undefined, "key"), // [T, K d]
    value: builder.linear(x, value, undefined, "value"), // [T, K d]
  };
}

/** Rows of the fused tensor [2 F, D]: gate, then up. */
function fusedGateAndUp(
  weights: WeightTable,
  parameters: HyperParameters,
  layer: number,
): { readonly gate: Projection; readonly up: Projection } {
  const { width, feedForwardWidth } = parameters;
  const part = (key: "feedForward.gate" | "feedForward.up", firstRow: number): Projection => ({
    weight: weights.layerMatrix(layer, key, feedForwardWidth, width, {
      firstRow,
      tensorRows: 2 * feedForwardWidth,
    }),
    bias: undefined,
  });
  return { gate: part("feedForward.gate", 0), up: part("feedForward.up", feedForwardWidth) };
}

function emitPhi3(file: ModelFile, parameters: HyperParameters): Program {
  const weights = new WeightTable(file, file.container === "gguf" ? ggufNames : folderNames);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitFusedQueryKeyValue(builder, weights, parameters, layer, x);
    const attended = emitAttention(builder, parameters, layer, projected, rotary); // [T, H d]
    emitResidual(builder, hidden, attended, outputProjection(weights, parameters, layer, "none"));

    const y = emitLayerNorm(builder, weights, parameters, layer, "feedForward.norm", hidden);
    const { gate, up } = fusedGateAndUp(weights, parameters, layer);
    const unit = emitGatedUnit(builder, y, gate, up, parameters.activation); // [T, F]
    emitResidual(builder, hidden, unit, downProjection(weights, parameters, layer, "none"));
  }
  const logits = emitHead(builder, weights, parameters, hidden); // [R, V]
  return builder.finish({ name: file.name, contextLength: parameters.contextLength }, logits);
}
