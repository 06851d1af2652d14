/**
 * MiniCPM (1B, 2B, 4): Llama's layout with muP-style factors (arXiv 2404.06395, section 4 and table 8):
 * embeddings times scale_emb, every residual branch times scale_depth / sqrt(layers), the last hidden state
 * divided by width / dim_model_base before the head. Sources: modeling_minicpm.py of openbmb/MiniCPM-2B;
 * llama.cpp architecture `minicpm`, whose keys hold the finished factors and whose query and key rows are
 * permuted as Llama's.
 */
import * as z from "zod";
import type { GgufModelFile, HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { GgufKeys, readGgufParameters } from "./gguf-config.ts";
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
import { buildRotaryTable } from "./rotary.ts";
import { GGUF_NAMES, HUGGING_FACE_NAMES } from "./tensor-names.ts";
import { type BiasRule, WeightTable } from "./weight-table.ts";

/** Factors of the published models, for GGUF files written before the keys existed. */
const EARLY_EMBEDDING_FACTOR = 12;
const EARLY_DEPTH_FACTOR = 1.4;
const EARLY_BASE_WIDTH = 256;

const minicpmSchema = baseSchema.extend({
  attention_bias: z.boolean().nullish(),
  scale_emb: z.number().positive().default(1),
  scale_depth: z.number().positive().default(1),
  dim_model_base: z.number().positive().default(1),
});

interface MiniCpmParameters extends HyperParameters {
  readonly embeddingFactor: number;
  /** Multiplies the output of every attention and feed-forward block. */
  readonly residualFactor: number;
  /** Multiplies the last hidden state. */
  readonly logitFactor: number;
  readonly attentionBias: BiasRule;
}

export const minicpm: ModelFamily = {
  name: "minicpm",
  ggufArchitectures: ["minicpm"],
  modelTypes: ["minicpm"],
  async load(file, contextLength): Promise<LoadedModel> {
    const parameters =
      file.container === "gguf" ? await readGguf(file, contextLength) : readFolder(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitMiniCpm(file, parameters) };
  },
};

async function readGguf(file: GgufModelFile, contextLength: number | undefined): Promise<MiniCpmParameters> {
  const base = await readGgufParameters(file, "minicpm", "interleaved", contextLength);
  const keys = new GgufKeys(file);
  return {
    ...base,
    embeddingFactor: keys.optionalPositive("embedding_scale") ?? EARLY_EMBEDDING_FACTOR,
    residualFactor: keys.optionalPositive("residual_scale") ?? EARLY_DEPTH_FACTOR / Math.sqrt(base.layers),
    logitFactor: 1 / (keys.optionalPositive("logit_scale") ?? base.width / EARLY_BASE_WIDTH),
    attentionBias: "ifPresent",
  };
}

function readFolder(file: HuggingFaceModelFile, contextLength: number | undefined): MiniCpmParameters {
  const config = parseConfig(file, minicpmSchema);
  const defaults = { family: "minicpm", tiedHead: true };
  const base = readHuggingFaceParameters(file, config, defaults, contextLength);
  return {
    ...base,
    embeddingFactor: config.scale_emb,
    residualFactor: config.scale_depth / Math.sqrt(base.layers),
    logitFactor: config.dim_model_base / base.width,
    attentionBias: config.attention_bias ? "required" : "none",
  };
}

function emitMiniCpm(file: ModelFile, parameters: MiniCpmParameters): Program {
  const { attentionBias, residualFactor } = parameters;
  const weights = new WeightTable(file, file.container === "gguf" ? GGUF_NAMES : HUGGING_FACE_NAMES);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters, parameters.embeddingFactor); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitQueryKeyValue(builder, weights, parameters, layer, x, attentionBias);
    const attended = emitAttention(builder, parameters, layer, projected, rotary); // [T, H d]
    const output = outputProjection(weights, parameters, layer, attentionBias);
    emitResidual(builder, hidden, attended, output, residualFactor);

    const y = emitLayerNorm(builder, weights, parameters, layer, "feedForward.norm", hidden);
    const { gate, up } = gateAndUp(weights, parameters, layer, "none");
    const unit = emitGatedUnit(builder, y, gate, up, parameters.activation); // [T, F]
    emitResidual(builder, hidden, unit, downProjection(weights, parameters, layer, "none"), residualFactor);
  }
  const logits = emitHead(builder, weights, parameters, hidden, parameters.logitFactor); // [R, V]
  return builder.finish({ name: file.name, contextLength: parameters.contextLength }, logits);
}
