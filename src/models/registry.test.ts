/**
 * Damaged and foreign checkpoints: each gets one line that names the file, the key or tensor,
 * what was expected and what was found.
 */
import { describe, expect, test } from "vitest";
import { FormatError, OptionError, UnsupportedError } from "../errors.ts";
import type { GgufField } from "../formats/gguf-values.ts";
import { arrayField, float32Field, stringField, uint32Field } from "../formats/gguf-values.ts";
import type { Json } from "../formats/model-file.ts";
import { buildProgram, FAMILIES, loadProgram } from "./registry.ts";
import {
  createSyntheticCheckpoint,
  openSyntheticFolder,
  openSyntheticGguf,
  type SyntheticCheckpoint,
} from "./synthetic/checkpoint.ts";
import { SYNTHETIC_FAMILIES, type SyntheticFamily, syntheticShape } from "./synthetic/shape.ts";
import type { SyntheticTensor } from "./synthetic/tensors.ts";

function checkpoint(family: SyntheticFamily = "llama"): SyntheticCheckpoint {
  return createSyntheticCheckpoint(family, syntheticShape(family), 1);
}

async function folderError(change: { readonly [key: string]: Json }, family: SyntheticFamily = "llama") {
  const whole = checkpoint(family);
  const file = await openSyntheticFolder({ ...whole, config: { ...whole.config, ...change } });
  return buildProgram(file).catch((error: unknown) => error);
}

async function ggufError(
  change: Iterable<readonly [string, GgufField | undefined]>,
  family: SyntheticFamily = "llama",
) {
  const whole = checkpoint(family);
  const metadata = new Map(whole.metadata);
  for (const [key, field] of change) {
    if (field === undefined) {
      metadata.delete(key);
    } else {
      metadata.set(key, field);
    }
  }
  return buildProgram(await openSyntheticGguf({ ...whole, metadata })).catch((error: unknown) => error);
}

function expectError(error: unknown, type: typeof FormatError, ...parts: string[]): void {
  expect(error).toBeInstanceOf(type);
  const { message } = error as Error;
  expect(message).not.toContain("\n");
  for (const part of parts) {
    expect(message).toContain(part);
  }
}

describe("config.json", () => {
  const cases: readonly (readonly [string, { readonly [key: string]: Json }, readonly string[]])[] = [
    ["no heads", { num_attention_heads: 0 }, ["num_attention_heads"]],
    ["a fractional width", { hidden_size: 64.5 }, ["hidden_size"]],
    ["a huge layer count", { num_hidden_layers: 1e9 }, ["num_hidden_layers"]],
    ["a string for a number", { vocab_size: "320" }, ["vocab_size"]],
    ["a missing epsilon", { rms_norm_eps: null }, ["rms_norm_eps"]],
    [
      "kv heads that do not divide",
      { num_key_value_heads: 3 },
      ["multiple of the 3 key/value heads", "got 4"],
    ],
    ["a width the heads do not divide", { head_dim: null, hidden_size: 66 }, ["multiple of the 4", "got 66"]],
    ["fatrelu without threshold", { hidden_act: "fatrelu" }, ["hidden_act_param"]],
    ["llama3 scaling without factor", { rope_scaling: { rope_type: "llama3" } }, ["rope_scaling.factor"]],
    ["a negative scaling factor", { rope_scaling: { type: "linear", factor: -1 } }, ["rope_scaling.factor"]],
    ["a rotary base of 1", { rope_theta: 1 }, ["base above 1", "got 1"]],
    [
      "llama3 bounds in the wrong order",
      {
        rope_scaling: {
          rope_type: "llama3",
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 64,
        },
      },
      ["high_freq_factor", "more than low_freq_factor 4"],
    ],
    ["another vocabulary", { vocab_size: 640 }, ["model.embed_tokens.weight", "[640, 64]", "[320, 64]"]],
    ["too few layers in the file", { num_hidden_layers: 3 }, ["model.layers.2.input_layernorm.weight"]],
    ["biases the file lacks", { attention_bias: true }, ["self_attn.q_proj.bias", "[64]"]],
    [
      "long factors of a wrong length",
      { rope_scaling: { type: "longrope", short_factor: [1], long_factor: [2] } },
      ["rotary factors, expected 8, got 1"],
    ],
  ];
  for (const [title, change, parts] of cases) {
    test(title, async () => expectError(await folderError(change), FormatError, ...parts));
  }

  test("unknown activation and dynamic scaling are unsupported", async () => {
    expectError(await folderError({ hidden_act: "mish" }), UnsupportedError, "hidden_act", '"mish"', "silu");
    const dynamic = { rope_scaling: { type: "dynamic", factor: 2 } };
    expectError(await folderError(dynamic), UnsupportedError, '"dynamic"', "yarn");
  });

  test("rope_parameters of newer folders mean the same as rope_scaling", async () => {
    const whole = checkpoint();
    const { rope_scaling: scaling, rope_theta: base, ...rest } = whole.config;
    const parameters = { ...(scaling as { [key: string]: Json }), rope_theta: base };
    const newer = await openSyntheticFolder({ ...whole, config: { ...rest, rope_parameters: parameters } });
    const older = await loadProgram(await openSyntheticFolder(whole));
    expect((await loadProgram(newer)).parameters).toEqual(older.parameters);
  });
});

describe("GGUF metadata", () => {
  const cases: readonly (readonly [string, string, GgufField | undefined])[] = [
    ["no heads", "llama.attention.head_count", uint32Field(0)],
    ["heads per layer", "llama.attention.head_count", arrayField("uint32", [4, 4])],
    ["a missing width", "llama.embedding_length", undefined],
    ["a huge layer count", "llama.block_count", uint32Field(1 << 30)],
    ["a negative epsilon", "llama.attention.layer_norm_rms_epsilon", float32Field(-1)],
    ["a string for a number", "llama.feed_forward_length", stringField("160")],
  ];
  for (const [title, key, field] of cases) {
    test(title, async () => expectError(await ggufError([[key, field]]), FormatError, key));
  }

  test("mixture of experts and unknown scalings are unsupported", async () => {
    expectError(await ggufError([["llama.expert_count", uint32Field(8)]]), UnsupportedError, "expert_count");
    const scaling = [["llama.rope.scaling.type", stringField("dynamic")]] as const;
    expectError(await ggufError(scaling), UnsupportedError, '"dynamic"');
  });

  test("an unknown architecture lists the known ones", async () => {
    const error = await ggufError([["general.architecture", stringField("gemma2")]]);
    expectError(error, UnsupportedError, '"gemma2"', "llama, qwen2, qwen3, phi3, minicpm");
    const folder = await folderError({ model_type: "minicpm3" });
    expectError(folder, UnsupportedError, '"minicpm3"', "llama, mistral, qwen2, qwen3, phi3, minicpm");
  });
});

describe("tensors", () => {
  async function withTensors(change: (tensors: readonly SyntheticTensor[]) => SyntheticTensor[]) {
    const whole = checkpoint();
    const file = await openSyntheticGguf({ ...whole, ggufTensors: change(whole.ggufTensors) });
    return buildProgram(file).catch((error: unknown) => error);
  }

  test("a missing one is named with its shape", async () => {
    const error = await withTensors((all) => all.filter(({ name }) => name !== "blk.1.ffn_down.weight"));
    expectError(error, FormatError, "blk.1.ffn_down.weight", "[64, 160]", "no such tensor");
  });

  test("a misshapen one is named with both shapes", async () => {
    const error = await withTensors((all) =>
      all.map((tensor) => (tensor.name === "blk.0.attn_k.weight" ? { ...tensor, shape: [64, 32] } : tensor)),
    );
    expectError(error, FormatError, "blk.0.attn_k.weight", "expected shape [32, 64], got [64, 32]");
  });

  test("senseless rotary factors are refused", async () => {
    const zero = await withTensors((all) =>
      all.map((tensor) =>
        tensor.name === "rope_freqs.weight" ? { ...tensor, values: () => new Float32Array(8) } : tensor,
      ),
    );
    expectError(zero, FormatError, "rope_freqs.weight", "above 0");
  });

  test("a vocabulary without a model says so", async () => {
    expectError(await withTensors(() => []), FormatError, "token_embd.weight", "vocabulary");
  });
});

describe("options and families", () => {
  test("a context beyond the checkpoint's is refused", async () => {
    const file = await openSyntheticGguf(checkpoint());
    const error = await buildProgram(file, { contextLength: 257 }).catch((problem: unknown) => problem);
    expectError(error, OptionError, "at most the 256", "got 257");
    expectError(
      await buildProgram(file, { contextLength: 0 }).catch((problem: unknown) => problem),
      OptionError,
      "got 0",
    );
  });

  test("YaRN's factor extends the context", async () => {
    const shape = syntheticShape("qwen2", { contextLength: 64 });
    const file = await openSyntheticFolder(createSyntheticCheckpoint("qwen2", shape, 1));
    expect((await buildProgram(file)).contextLength).toBe(256);
  });

  test("every registered family has a synthetic checkpoint", () => {
    expect(FAMILIES.map(({ name }) => name).sort()).toEqual([...SYNTHETIC_FAMILIES].sort());
  });
});
