/**
 * config.json of published ReLU models, with their keys and values but for the sizes: the activation is the one the model was
 * trained with, exact mode takes it, and refuses what is never exactly zero.
 */
import { describe, expect, test } from "vitest";
import type { Json } from "../../formats/model-file.ts";
import { loadProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { type SyntheticFamily, syntheticShape } from "../../models/synthetic/shape.ts";
import type { Activation } from "../../program/program.ts";
import { rewriteNeurons, sparseLayers } from "./rewrite.ts";

type Config = { readonly [key: string]: Json };

/** Keys beside the sizes, which the tiny checkpoint gives. */
const LLAMA_2: Config = {
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 10_000,
  tie_word_embeddings: false,
  torch_dtype: "bfloat16",
  use_cache: true,
};

const PROSPARSE_LLAMA: Config = {
  ...LLAMA_2,
  architectures: ["SparseLlamaForCausalLM"],
  auto_map: {
    AutoConfig: "configuration_sparsellama.SparseLlamaConfig",
    AutoModelForCausalLM: "modeling_sparsellama.SparseLlamaForCausalLM",
  },
  hidden_act: "fatrelu",
  hidden_act_param: 0.01,
};

const MINICPM_S: Config = {
  architectures: ["MiniCPMForCausalLM"],
  auto_map: { AutoConfig: "configuration_minicpm.MiniCPMConfig" },
  dim_model_base: 256,
  hidden_act: "fatrelu",
  hidden_act_param: 0.03,
  model_type: "minicpm",
  scale_depth: 1.4,
  scale_emb: 12,
  rope_scaling: null,
};

const MODELS: readonly (readonly [string, SyntheticFamily, Config, Activation])[] = [
  [
    "ProSparse-LLaMA-2",
    "llama",
    { ...PROSPARSE_LLAMA, model_type: "sparsellama" },
    { kind: "fatrelu", threshold: 0.01 },
  ],
  [
    "ProSparse-LLaMA-2 with Llama's type",
    "llama",
    { ...PROSPARSE_LLAMA, model_type: "llama" },
    { kind: "fatrelu", threshold: 0.01 },
  ],
  [
    "ProSparse-LLaMA-2 before shifting",
    "llama",
    { ...PROSPARSE_LLAMA, hidden_act: "relu", hidden_act_param: null },
    { kind: "relu" },
  ],
  [
    "ReluLLaMA",
    "llama",
    { ...LLAMA_2, architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_act: "relu" },
    { kind: "relu" },
  ],
  ["MiniCPM-S", "minicpm", MINICPM_S, { kind: "fatrelu", threshold: 0.03 }],
];

async function load(family: SyntheticFamily, config: Config) {
  const shape = syntheticShape(family, { tiedHead: family === "minicpm" });
  const whole = createSyntheticCheckpoint(family, shape, 1);
  return loadProgram(await openSyntheticFolder({ ...whole, config: { ...whole.config, ...config } }));
}

describe.each(MODELS)("%s", (_, family, config, activation) => {
  test("runs with its own activation, exactly sparse", async () => {
    const { program } = await load(family, config);
    const units = program.ops.filter((op) => op.kind === "glu");
    expect(units.length).toBeGreaterThan(0);
    for (const unit of units) expect(unit.activation).toEqual(activation);
    expect(sparseLayers(program)).toEqual(units.map((_unit, layer) => layer));
    const layers = sparseLayers(program).map((layer) => ({ layer, liveShare: 0.1 }));
    const sparse = rewriteNeurons(program, { method: "prosparse", version: 1, layers });
    const choices = sparse.ops.filter((op) => op.kind === "selectColumns");
    const threshold = activation.kind === "fatrelu" ? activation.threshold : 0;
    for (const { out } of choices) expect(out.rule).toEqual({ kind: "gate", threshold, share: 0.1 });
  });

  test("with silu it is refused in exact mode", async () => {
    const { program } = await load(family, { ...config, hidden_act: "silu" });
    expect(() => sparseLayers(program)).toThrow(/activation is silu, expected relu or fatrelu/);
  });
});

test("SparseLlamaForCausalLM without an activation never runs with Llama's silu", async () => {
  const whole = createSyntheticCheckpoint("llama", syntheticShape("llama"), 1);
  const { hidden_act: _, ...rest } = { ...whole.config, ...PROSPARSE_LLAMA };
  const file = await openSyntheticFolder({ ...whole, config: rest });
  await expect(loadProgram(file)).rejects.toThrow(/hidden_act: expected the activation of SparseLlama/);
});

test("fatrelu without its threshold is refused", async () => {
  await expect(load("llama", { ...PROSPARSE_LLAMA, hidden_act_param: null })).rejects.toThrow(
    /hidden_act_param, expected the threshold/,
  );
});
