/**
 * Qwen2 and Qwen2.5: biases on query, key and value; upper layers may use a sliding window.
 * Sources: transformers' modeling_qwen2.py and configuration_qwen2.py; llama.cpp architecture `qwen2`.
 * Rotary pairs are halves in both containers.
 */
import * as z from "zod";
import type { HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { readGgufParameters } from "./gguf-config.ts";
import { baseSchema, parseConfig, readHuggingFaceParameters } from "./huggingface-config.ts";
import { checkConsistency, type HyperParameters, MAX_CONTEXT, MAX_LAYERS } from "./hyper-parameters.ts";
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
import { WeightTable } from "./weight-table.ts";

/** Window keys of Qwen2 and Qwen3 configs: the window counts only with `use_sliding_window`. */
export const qwenWindowSchema = z.looseObject({
  use_sliding_window: z.boolean().nullish(),
  sliding_window: z.int().min(1).max(MAX_CONTEXT).nullish(),
  max_window_layers: z.int().min(0).max(MAX_LAYERS).nullish(),
  layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).nullish(),
});

const qwen2Schema = baseSchema.extend(qwenWindowSchema.shape);

export const qwen2: ModelFamily = {
  name: "qwen2",
  ggufArchitectures: ["qwen2"],
  modelTypes: ["qwen2"],
  async load(file, contextLength): Promise<LoadedModel> {
    const parameters =
      file.container === "gguf"
        ? await readGgufParameters(file, "qwen2", "halves", contextLength)
        : readFolder(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitQwen2(file, parameters) };
  },
};

function readFolder(file: HuggingFaceModelFile, contextLength: number | undefined): HyperParameters {
  const config = parseConfig(file, qwen2Schema);
  const defaults = { family: "qwen2", tiedHead: false };
  const base = readHuggingFaceParameters(file, config, defaults, contextLength);
  return { ...base, windows: qwenWindows(config, base.layers) };
}

/** Window per layer; `layer_types` of newer configs decides, else layers from max_window_layers on slide. */
export function qwenWindows(
  config: z.infer<typeof qwenWindowSchema>,
  layers: number,
): readonly (number | undefined)[] {
  const window = config.use_sliding_window ? (config.sliding_window ?? undefined) : undefined;
  const first = config.max_window_layers ?? layers;
  return Array.from({ length: layers }, (_, layer) => {
    const slides = config.layer_types?.[layer] ?? (layer >= first ? "sliding_attention" : "full_attention");
    return slides === "sliding_attention" ? window : undefined;
  });
}

function emitQwen2(file: ModelFile, parameters: HyperParameters): Program {
  const weights = new WeightTable(file, file.container === "gguf" ? GGUF_NAMES : HUGGING_FACE_NAMES);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitQueryKeyValue(builder, weights, parameters, layer, x, "required");
    const attended = emitAttention(builder, parameters, layer, projected, rotary); // [T, H d]
    emitResidual(builder, hidden, attended, outputProjection(weights, parameters, layer, "none"));

    const y = emitLayerNorm(builder, weights, parameters, layer, "feedForward.norm", hidden);
    const { gate, up } = gateAndUp(weights, parameters, layer, "none");
    const unit = emitGatedUnit(builder, y, gate, up, parameters.activation); // [T, F]
    emitResidual(builder, hidden, unit, downProjection(weights, parameters, layer, "none"));
  }
  const logits = emitHead(builder, weights, parameters, hidden); // [R, V]
  return builder.finish({ name: file.name, contextLength: parameters.contextLength }, logits);
}
