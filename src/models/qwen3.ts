/**
 * Qwen3 (dense): no biases by default, an explicit head width, and RMSNorm of every query and key head before
 * rotation. Sources: transformers' modeling_qwen3.py and configuration_qwen3.py; llama.cpp architecture
 * `qwen3`. Rotary pairs are halves in both containers.
 */
import * as z from "zod";
import type { HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { readGgufParameters } from "./gguf-config.ts";
import { baseSchema, parseConfig, readHuggingFaceParameters } from "./huggingface-config.ts";
import { checkConsistency, type HyperParameters } from "./hyper-parameters.ts";
import {
  downProjection,
  emitAttention,
  emitEmbedding,
  emitGatedUnit,
  emitHead,
  emitLayerNorm,
  emitQueryKeyValue,
  emitResidual,
  gateAndUp,
  outputProjection,
} from "./layers.ts";
import { qwenWindowSchema, qwenWindows } from "./qwen2.ts";
import { buildRotaryTable } from "./rotary.ts";
import { GGUF_NAMES, HUGGING_FACE_NAMES } from "./tensor-names.ts";
import { type BiasRule, WeightTable } from "./weight-table.ts";

/** Qwen3Config's head_dim where a config states none. */
const DEFAULT_HEAD_WIDTH = 128;

const ggufNames = {
  ...GGUF_NAMES,
  "attention.queryNorm": "blk.{layer}.attn_q_norm.weight",
  "attention.keyNorm": "blk.{layer}.attn_k_norm.weight",
} as const;

const folderNames = {
  ...HUGGING_FACE_NAMES,
  "attention.queryNorm": "model.layers.{layer}.self_attn.q_norm.weight",
  "attention.keyNorm": "model.layers.{layer}.self_attn.k_norm.weight",
} as const;

const qwen3Schema = baseSchema.extend(qwenWindowSchema.shape).extend({
  attention_bias: z.boolean().nullish(),
});

interface Qwen3Parameters extends HyperParameters {
  readonly attentionBias: BiasRule;
}

export const qwen3: ModelFamily = {
  name: "qwen3",
  ggufArchitectures: ["qwen3"],
  modelTypes: ["qwen3"],
  async load(file, contextLength): Promise<LoadedModel> {
    const parameters: Qwen3Parameters =
      file.container === "gguf"
        ? {
            ...(await readGgufParameters(file, "qwen3", "halves", contextLength)),
            attentionBias: "ifPresent",
          }
        : readFolder(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitQwen3(file, parameters) };
  },
};

function readFolder(file: HuggingFaceModelFile, contextLength: number | undefined): Qwen3Parameters {
  const config = parseConfig(file, qwen3Schema);
  const defaults = { family: "qwen3", tiedHead: false, headWidth: DEFAULT_HEAD_WIDTH };
  const base = readHuggingFaceParameters(file, config, defaults, contextLength);
  return {
    ...base,
    windows: qwenWindows(config, base.layers),
    attentionBias: config.attention_bias ? "required" : "none",
  };
}

function emitQwen3(file: ModelFile, parameters: Qwen3Parameters): Program {
  const { heads, kvHeads, headWidth, normEpsilon, attentionBias } = parameters;
  const weights = new WeightTable(file, file.container === "gguf" ? ggufNames : folderNames);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitQueryKeyValue(builder, weights, parameters, layer, x, attentionBias);
    const queryNorm = weights.layerVector(layer, "attention.queryNorm", headWidth);
    const keyNorm = weights.layerVector(layer, "attention.keyNorm", headWidth);
    builder.rmsNorm(projected.query, queryNorm, normEpsilon, projected.query.name, heads); // per head
    builder.rmsNorm(projected.key, keyNorm, normEpsilon, projected.key.name, kvHeads);
    const attended = emitAttention(builder, parameters, layer, projected, rotary); // [T, H d]
    emitResidual(builder, hidden, attended, outputProjection(weights, parameters, layer, attentionBias));

    const y = emitLayerNorm(builder, weights, parameters, layer, "feedForward.norm", hidden);
    const { gate, up } = gateAndUp(weights, parameters, layer, "none");
    const unit = emitGatedUnit(builder, y, gate, up, parameters.activation); // [T, F]
    emitResidual(builder, hidden, unit, downProjection(weights, parameters, layer, "none"));
  }
  const logits = emitHead(builder, weights, parameters, hidden); // [R, V]
  return builder.finish({ name: file.name, contextLength: parameters.contextLength }, logits);
}
