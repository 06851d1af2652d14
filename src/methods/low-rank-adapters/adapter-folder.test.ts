/**
 * Adapter folders: what is written is read back and does the same merged, folders of the PEFT library mean what they mean
 * there, and what is more than W + factor B A is refused by name.
 */
import { describe, expect, test } from "vitest";
import { referenceLogits } from "../../../test/tender-models.ts";
import type { JsonObject, ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { writeSafetensors } from "../../formats/safetensors-writer.ts";
import { tensorFromValues } from "../../formats/tensor-source.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { normalValues } from "../../models/synthetic/random.ts";
import { SYNTHETIC_FAMILIES, syntheticShape } from "../../models/synthetic/shape.ts";
import { collectFiles, memoryFolder } from "../../platform/memory.ts";
import type { Folder } from "../../platform/types.ts";
import type { Program } from "../../program/program.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import { i8 } from "../../quantization/i8.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { dipRecipe } from "../dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../dynamic-input-pruning/rewrite.ts";
import { loadRecipeProgram } from "../recipes.ts";
import {
  ADAPTER_WEIGHTS_FILE,
  collectAdapters,
  readAdapterFolder,
  type StoredAdapter,
  writeAdapterFolder,
} from "./adapter-folder.ts";
import { ADAPTER_CONFIG_FILE } from "./adapter-config.ts";
import { withFreshAdapters, withMergedAdapters } from "./merge.ts";
import { ADAPTER_TARGETS, addAdapters, listAdapters } from "./rewrite.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299, 17, 42];
const MODULE = "base_model.model.model.layers.0.mlp.down_proj";
const PLAIN = { peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: ["down_proj"], bias: "none" };

/** A folder as another program would have written it. */
async function foreignFolder(
  config: JsonObject,
  tensors: Readonly<Record<string, readonly [shape: readonly number[], values: readonly number[]]>>,
  format: WeightFormat = f32,
): Promise<Folder> {
  const files = await collectFiles(async (open) => {
    const sources = Object.entries(tensors).map(([name, [shape, values]]) =>
      tensorFromValues(name, shape, format, Float32Array.from(values)),
    );
    await writeSafetensors(await open(ADAPTER_WEIGHTS_FILE), sources, { format: "pt" });
  });
  files.set(ADAPTER_CONFIG_FILE, new TextEncoder().encode(JSON.stringify(config)));
  return memoryFolder("adapters", files);
}

/** The vector of the specification: A [1, 3], B [2, 1]. */
const VECTOR = {
  [`${MODULE}.lora_A.weight`]: [
    [1, 3],
    [1, 0, -1],
  ],
  [`${MODULE}.lora_B.weight`]: [
    [2, 1],
    [0.5, -1],
  ],
} as const;

/** A checkpoint whose only tensor is W [2, 3]. */
async function tinyFile(format: WeightFormat = f32): Promise<ModelFile> {
  const base = await openSyntheticFolder(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  const tensor: ComputedTensor = {
    name: "model.layers.0.mlp.down_proj.weight",
    shape: [2, 3],
    format,
    values: (first, count) => Float32Array.of(1, 2, 0, 0, -1, 3).slice(3 * first, 3 * (first + count)),
  };
  return overlayFile(base, [tensor], undefined);
}

async function readTensor(file: ModelFile, name: string): Promise<number[]> {
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`no ${name}`);
  const values = new Float32Array(info.shape.reduce((product, size) => product * size, 1));
  await readDecodedRows(file, info, 0, info.shape[0], values);
  return [...values];
}

/** The file with adapters whose B is not zero. */
function trainedLike(file: ModelFile, program: Program): ModelFile {
  const fresh = withFreshAdapters(file, program, 1);
  const ups = listAdapters(program).map(({ up }): ComputedTensor => {
    const values = normalValues(7, up.tensor, up.rows * up.columns, 0, 0.05);
    const { rows, columns } = up;
    return {
      name: up.tensor,
      shape: [rows, columns],
      format: f32,
      values: (first, count) => values.slice(first * columns, (first + count) * columns),
    };
  });
  return overlayFile(fresh, ups, fresh.recipes);
}

async function storeAndRead(file: ModelFile, program: Program): Promise<StoredAdapter[]> {
  const values = new Map<string, Float32Array>();
  for (const { down, up } of listAdapters(program)) {
    for (const { tensor } of [down, up]) {
      values.set(tensor, Float32Array.from(await readTensor(file, tensor)));
    }
  }
  const reader = { read: (tensor: string) => values.get(tensor) ?? new Float32Array() };
  const files = await collectFiles((open) =>
    writeAdapterFolder(collectAdapters(program, reader, file), "base", f32, open),
  );
  return readAdapterFolder(memoryFolder("adapters", files));
}

function expectClose(got: Float32Array, expected: Float32Array): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0);
  expect(worst).toBeLessThan(1e-5 * largest);
}

describe("what is written", () => {
  test.each(SYNTHETIC_FAMILIES)("does the same merged, also where tensors are fused: %s", async (family) => {
    const file = await openSyntheticFolder(createSyntheticCheckpoint(family, syntheticShape(family), 5));
    const { program } = await loadRecipeProgram(file);
    const adapted = addAdapters(program, { rank: 3, alpha: 6, targets: ADAPTER_TARGETS });
    const beside = trainedLike(file, adapted);
    const merged = withMergedAdapters(file, await storeAndRead(beside, adapted));
    const expected = await referenceLogits(adapted, beside, TOKENS);
    expectClose(await referenceLogits(program, merged, TOKENS), expected);
    expect(expected).not.toEqual(await referenceLogits(program, file, TOKENS));
  });

  test("does the same merged under the masks of skipped columns", async () => {
    const file = await openSyntheticFolder(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
    const { program } = await loadRecipeProgram(file);
    const sparse = rewriteColumns(program, dipRecipe(0.4));
    const targets = ["feedForward.gate", "feedForward.up", "feedForward.down"] as const;
    const adapted = addAdapters(sparse, { rank: 4, alpha: 4, targets });
    const beside = trainedLike(file, adapted);
    const merged = withMergedAdapters(file, await storeAndRead(beside, adapted));
    // One token: a step that chooses columns.
    const expected = await referenceLogits(adapted, beside, [17]);
    expectClose(await referenceLogits(sparse, merged, [17]), expected);
    expect(expected).not.toEqual(await referenceLogits(program, merged, [17]));
  });
});

describe("folders of others", () => {
  test("the specification's vector", async () => {
    const adapters = await readAdapterFolder(await foreignFolder(PLAIN, VECTOR));
    const merged = withMergedAdapters(await tinyFile(), adapters);
    expect(await readTensor(merged, adapters[0].tensor)).toEqual([1.5, 2, -0.5, -1, -1, 4]);
  });

  test("adapter names in the middle, half precision, weights in half precision", async () => {
    const named = Object.fromEntries(
      Object.entries(VECTOR).map(([name, value]) => [name.replace(/\.weight$/, ".default.weight"), value]),
    );
    const adapters = await readAdapterFolder(await foreignFolder(PLAIN, named, f16));
    const merged = withMergedAdapters(await tinyFile(f16), adapters);
    expect(merged.tensors.get(adapters[0].tensor)?.format).toBe(f16);
    expect(await readTensor(merged, adapters[0].tensor)).toEqual([1.5, 2, -0.5, -1, -1, 4]);
  });

  test.each<readonly [string, JsonObject, number]>([
    ["alpha / r", { r: 4, lora_alpha: 16 }, 4],
    ["alpha / sqrt(r)", { r: 4, lora_alpha: 16, use_rslora: true }, 8],
    ["a rank of its own", { r: 8, lora_alpha: 16, rank_pattern: { down_proj: 4 } }, 4],
    ["an alpha of its own", { r: 4, lora_alpha: 16, alpha_pattern: { "layers\\.0\\..*": 2 } }, 0.5],
    ["patterns of others", { r: 4, lora_alpha: 16, alpha_pattern: { "layers\\.1\\..*": 2, own_proj: 1 } }, 4],
  ])("factor: %s", async (_, config, factor) => {
    const folder = await foreignFolder(
      { ...PLAIN, ...config },
      {
        [`${MODULE}.lora_A.weight`]: [
          [4, 1],
          [1, 2, 3, 4],
        ],
        [`${MODULE}.lora_B.weight`]: [
          [1, 4],
          [1, 1, 1, 1],
        ],
      },
    );
    const [adapter] = await readAdapterFolder(folder);
    expect(adapter).toMatchObject({ tensor: "model.layers.0.mlp.down_proj.weight", rank: 4, factor });
  });

  test.each<readonly [JsonObject, RegExp]>([
    [{ peft_type: "IA3" }, /peft_type is "IA3", expected plain LoRA/],
    [{ use_dora: true }, /use_dora is true/],
    [{ bias: "all" }, /bias is "all"/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save is \["lm_head"\]/],
    [{ init_lora_weights: "pissa_niter_4" }, /init_lora_weights/],
    [{ r: 2 }, /rank of .*down_proj is 1 in the tensors, expected 2/],
    [{ r: "8" }, /field "r"/],
    [{ rank_pattern: { "(": 1 } }, /pattern "\(" is no regular expression/],
  ])("refuses %o", async (config, message) => {
    const folder = await foreignFolder({ ...PLAIN, ...config }, VECTOR);
    await expect(readAdapterFolder(folder)).rejects.toThrow(message);
  });

  test("refuses other tensors, halves, other models and integers", async () => {
    const embedding = {
      ...VECTOR,
      "base_model.model.model.embed_tokens.lora_embedding_A": [
        [1, 3],
        [1, 2, 3],
      ],
    } as const;
    await expect(readAdapterFolder(await foreignFolder(PLAIN, embedding))).rejects.toThrow(
      /embed_tokens\.lora_embedding_A" is neither/,
    );
    const half = { [`${MODULE}.lora_A.weight`]: VECTOR[`${MODULE}.lora_A.weight`] };
    await expect(readAdapterFolder(await foreignFolder(PLAIN, half))).rejects.toThrow(/only one of lora_A/);
    const wide = {
      ...VECTOR,
      [`${MODULE}.lora_B.weight`]: [
        [1, 2],
        [0.5, -1],
      ],
    } as const;
    await expect(readAdapterFolder(await foreignFolder(PLAIN, wide))).rejects.toThrow(/expected one rank/);
    await expect(readAdapterFolder(memoryFolder("empty", new Map()))).rejects.toThrow(
      /empty: is no adapter folder, expected adapter_config\.json/,
    );
    const pickle = memoryFolder("old", new Map([["adapter_model.bin", new Uint8Array()]]));
    await expect(readAdapterFolder(pickle)).rejects.toThrow(/save them as safetensors/);

    const adapters = await readAdapterFolder(await foreignFolder(PLAIN, VECTOR));
    const file = await openSyntheticFolder(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
    expect(() => withMergedAdapters(file, adapters)).toThrow(/expected the adapter's \[2, 3\]/);
    const other = await openSyntheticFolder(createSyntheticCheckpoint("phi3", syntheticShape("phi3"), 5));
    const gate = [{ ...adapters[0], tensor: "model.layers.0.mlp.gate_proj.weight" }];
    expect(() => withMergedAdapters(other, gate)).toThrow(/has no tensor .*gate_proj.* they were trained on/);
    const codes = await tinyFile(i8);
    expect(() => withMergedAdapters(codes, adapters)).toThrow(
      /I8, expected F32, F16 or BF16 - merge adapters before/,
    );
  });
});
