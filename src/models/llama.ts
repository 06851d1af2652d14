/**
 * Llama 1, 2, 3 and models of the same shape (SmolLM, TinyLlama, Mistral files in GGUF; ReluLLaMA and
 * ProSparse-LLaMA, whose SparseLlamaForCausalLM is Llama with relu or fatrelu).
 * Sources: transformers' modeling_llama.py and configuration_llama.py; llama.cpp architecture `llama`.
 * GGUF files store query and key rows permuted so that rotary pairs are neighbours; folders keep halves.
 */
import * as z from "zod";
import { FormatError } from "../errors.ts";
import type { HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { readGgufParameters } from "./gguf-config.ts";
import { baseSchema, parseConfig, readHuggingFaceParameters } from "./huggingface-config.ts";
import type { HyperParameters } from "./hyper-parameters.ts";
import { checkConsistency } from "./hyper-parameters.ts";
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

const llamaSchema = baseSchema.extend({
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  architectures: z.array(z.string()).nullish(),
});

/** Llama with another activation than its own, which config.json must therefore name. */
const SPARSE_CLASS = "SparseLlamaForCausalLM";

interface LlamaParameters extends HyperParameters {
  readonly attentionBias: BiasRule;
  readonly feedForwardBias: BiasRule;
}

export const llama: ModelFamily = {
  name: "llama",
  ggufArchitectures: ["llama"],
  modelTypes: ["llama", "sparsellama"],
  async load(file, contextLength): Promise<LoadedModel> {
    const parameters = await readParameters(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitLlama(file, parameters) };
  },
};

async function readParameters(file: ModelFile, contextLength: number | undefined): Promise<LlamaParameters> {
  if (file.container === "gguf") {
    const base = await readGgufParameters(file, "llama", "interleaved", contextLength);
    return { ...base, attentionBias: "ifPresent", feedForwardBias: "ifPresent" };
  }
  return readFolder(file, contextLength);
}

function readFolder(file: HuggingFaceModelFile, contextLength: number | undefined): LlamaParameters {
  const config = parseConfig(file, llamaSchema);
  if (config.architectures?.includes(SPARSE_CLASS) && file.config.hidden_act === undefined) {
    throw new FormatError(
      `${file.name}: config.json key hidden_act: expected the activation of ${SPARSE_CLASS}, relu or fatrelu, got nothing - it does not run with Llama's silu, take it from the model's page`,
    );
  }
  const defaults = { family: "llama", tiedHead: false };
  return {
    ...readHuggingFaceParameters(file, config, defaults, contextLength),
    attentionBias: config.attention_bias ? "required" : "none",
    feedForwardBias: config.mlp_bias ? "required" : "none",
  };
}

function emitLlama(file: ModelFile, parameters: LlamaParameters): Program {
  const { attentionBias, feedForwardBias } = parameters;
  const weights = new WeightTable(file, file.container === "gguf" ? GGUF_NAMES : HUGGING_FACE_NAMES);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitQueryKeyValue(builder, weights, parameters, layer, x, attentionBias);
    const attended = emitAttention(builder, parameters, layer, projected, rotary); // [T, H d]
    emitResidual(builder, hidden, attended, outputProjection(weights, parameters, layer, attentionBias));

    const y = emitLayerNorm(builder, weights, parameters, layer, "feedForward.norm", hidden);
    const { gate, up } = gateAndUp(weights, parameters, layer, feedForwardBias);
    const unit = emitGatedUnit(builder, y, gate, up, parameters.activation); // [T, F]
    emitResidual(builder, hidden, unit, downProjection(weights, parameters, layer, feedForwardBias));
  }
  const logits = emitHead(builder, weights, parameters, hidden); // [R, V]
  return builder.finish({ name: file.name, contextLength: parameters.contextLength }, logits);
}
