/**
 * Mistral: Llama's layout with a sliding attention window and an explicit head width (Nemo).
 * Sources: transformers' modeling_mistral.py and configuration_mistral.py. GGUF files of Mistral models carry
 * the architecture `llama` and are run by that family.
 */
import * as z from "zod";
import { UnsupportedError } from "../errors.ts";
import type { HuggingFaceModelFile, ModelFile } from "../formats/model-file.ts";
import { ProgramBuilder } from "../program/builder.ts";
import type { Program } from "../program/program.ts";
import type { LoadedModel, ModelFamily } from "./family.ts";
import { baseSchema, parseConfig, readHuggingFaceParameters } from "./huggingface-config.ts";
import { checkConsistency, type HyperParameters, MAX_CONTEXT } from "./hyper-parameters.ts";
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
import { HUGGING_FACE_NAMES } from "./tensor-names.ts";
import { WeightTable } from "./weight-table.ts";

const mistralSchema = baseSchema.extend({
  sliding_window: z.int().min(1).max(MAX_CONTEXT).nullish(),
});

export const mistral: ModelFamily = {
  name: "mistral",
  ggufArchitectures: [],
  modelTypes: ["mistral"],
  async load(file, contextLength): Promise<LoadedModel> {
    if (file.container !== "huggingface") {
      throw new UnsupportedError(
        `${file.name}: architecture mistral, expected llama in a GGUF file of Mistral - convert the model again`,
      );
    }
    const parameters = readParameters(file, contextLength);
    checkConsistency(file.name, parameters);
    return { parameters, program: emitMistral(file, parameters) };
  },
};

function readParameters(file: HuggingFaceModelFile, contextLength: number | undefined): HyperParameters {
  const config = parseConfig(file, mistralSchema);
  const defaults = { family: "mistral", tiedHead: false };
  const base = readHuggingFaceParameters(file, config, defaults, contextLength);
  return { ...base, windows: base.windows.map(() => config.sliding_window ?? undefined) };
}

function emitMistral(file: ModelFile, parameters: HyperParameters): Program {
  const weights = new WeightTable(file, HUGGING_FACE_NAMES);
  const builder = new ProgramBuilder();
  const rotary = buildRotaryTable("rotary", parameters.rotary);
  const hidden = emitEmbedding(builder, weights, parameters); // [T, D]
  for (let layer = 0; layer < parameters.layers; layer++) {
    const x = emitLayerNorm(builder, weights, parameters, layer, "attention.norm", hidden);
    const projected = emitQueryKeyValue(builder, weights, parameters, layer, x, "none");
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
