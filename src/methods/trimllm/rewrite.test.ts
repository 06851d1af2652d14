/**
 * Dropping sublayers: the residual stream stays, keys and values go, tensors are not written, and a file whose tensors and
 * recipe disagree is refused. Vectors from the paper's arithmetic (and the bug of its released code).
 */
import { beforeAll, describe, expect, test } from "vitest";
import { executorOptions, referenceLogits, stepOf } from "../../../test/tender-models.ts";
import { silence, throughFolder } from "../../../test/trimmed-models.ts";
import { UnsupportedError } from "../../errors.ts";
import { createReferenceExecutor } from "../../executors/reference/reference-executor.ts";
import type { Json, ModelFile } from "../../formats/model-file.ts";
import { overlayFile } from "../../formats/overlay-file.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { keyValueBytes } from "../../program/accounting.ts";
import { ProgramBuilder } from "../../program/builder.ts";
import { programCaches } from "../../program/dataflow.ts";
import type { Program, Weight } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { compressInputGroups } from "../input-groups/compress.ts";
import { dipRecipe } from "../dynamic-input-pruning/recipe.ts";
import { explainTensors, loadRecipeProgram, readRecipes, recipeSection } from "../recipes.ts";
import { dropSublayers } from "./drop.ts";
import { type SublayerId, sublayerName, sublayersOf, trimRecipeSchema } from "./recipe.ts";
import { removeSublayers } from "./rewrite.ts";
import { listSublayers } from "./sublayers.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299];
const ATTENTION_1: SublayerId = { layer: 1, kind: "attention" };
const MLP_3: SublayerId = { layer: 3, kind: "mlp" };
let file: ModelFile;
let program: Program;

beforeAll(async () => {
  const shape = syntheticShape("llama", { layers: 5, biases: true });
  file = await openSyntheticFolder(createSyntheticCheckpoint("llama", shape, 5));
  program = (await loadRecipeProgram(file)).program;
});

/** Logits of the trimmed checkpoint after it was written and opened again. */
async function trimmedLogits(dropped: readonly SublayerId[], base = file): Promise<Float32Array> {
  const { file: opened } = await throughFolder((await dropSublayers(base, dropped)).file);
  return referenceLogits((await loadRecipeProgram(opened)).program, opened, TOKENS);
}

describe("the residual stream", () => {
  test("h + MLP(LN2(h)) is left when attention goes: (5.2627, 5.1314)", async () => {
    const tensors: Record<string, number[][]> = {
      table: [[3, 4]],
      one: [[1, 1]],
      two: [[2, 0.5]],
      plus: [
        [1, 1],
        [0, 2],
      ],
      same: [
        [1, 0],
        [0, 1],
      ],
    };
    const weight = (name: string, tensor: string): Weight => {
      const values = tensors[tensor];
      return { name, tensor, rows: values.length, columns: values[0].length, firstRow: 0 };
    };
    const computed = Object.entries(tensors).map(([name, rows]) => ({
      name,
      shape: [rows.length, rows[0].length],
      format: f32,
      values: (first: number, count: number) => Float32Array.from(rows.slice(first, first + count).flat()),
    }));
    const builder = new ProgramBuilder();
    const hidden = builder.embed(weight("embedding", "table"), "hidden");
    for (const [part, norm] of [
      ["attention", "one"],
      ["feedForward", "two"],
    ]) {
      const normed = builder.rmsNorm(hidden, weight(`layers.0.${part}.norm`, norm), 0, "normed");
      const out = builder.linear(normed, weight(`layers.0.${part}.output`, "plus"), undefined, "projected");
      builder.accumulate(hidden, out);
    }
    const selected = builder.selectOutputs(hidden, "selected");
    const logits = builder.linear(selected, weight("head", "same"), undefined, "logits");
    const whole = builder.finish({ name: "vector", contextLength: 1 }, logits);
    // Each sublayer needs an output matrix of its own.
    const own = {
      ...whole,
      ops: whole.ops.map((op) =>
        op.kind === "linear" && op.weight.name.includes("feedForward")
          ? { ...op, weight: { ...op.weight, tensor: "plus2" } }
          : op,
      ),
    };
    const plus2 = computed
      .filter(({ name }) => name === "plus")
      .map((tensor) => ({ ...tensor, name: "plus2" }));
    const values = await referenceLogits(
      removeSublayers(own, [{ layer: 0, kind: "attention" }]),
      overlayFile(file, [...computed, ...plus2], undefined),
      [0],
    );
    expect(values[0]).toBeCloseTo(5.2627417, 6);
    expect(values[1]).toBeCloseTo(5.13137085, 6);
  });

  test.each([
    ["an attention", [ATTENTION_1]],
    ["an MLP", [MLP_3]],
    ["both of a layer", [ATTENTION_1, { layer: 1, kind: "mlp" } as const]],
    ["the last layer's", [{ layer: 4, kind: "attention" } as const, { layer: 4, kind: "mlp" } as const]],
  ])("dropping %s is as setting its output projection and bias to zero, bit for bit", async (_, dropped) => {
    const silent = silence(file, program, dropped);
    const expected = await referenceLogits(program, silent, TOKENS);
    // Dropping what adds nothing changes no logit; and what the dropped weights were does not matter.
    expect(await trimmedLogits(dropped, silent)).toEqual(expected);
    expect(await trimmedLogits(dropped)).toEqual(expected);
    expect(await referenceLogits(program, file, TOKENS)).not.toEqual(expected);
  });
});

describe("keys and values", () => {
  const dropped: SublayerId[] = [ATTENTION_1, { layer: 3, kind: "attention" }];

  test("slots are numbered by rank among the attentions left, and 2/5 of the bytes go", () => {
    const left = removeSublayers(program, dropped);
    expect(programCaches(left).map(({ name }) => name)).toEqual([
      "layers.0.cache",
      "layers.2.cache",
      "layers.4.cache",
    ]);
    expect(keyValueBytes(left, "f16")).toBe((keyValueBytes(program, "f16") * 3) / 5);
    expect(keyValueBytes(removeSublayers(program, [MLP_3]), "f16")).toBe(keyValueBytes(program, "f16"));
  });

  test("token by token is as all at once", async () => {
    const left = removeSublayers(program, dropped);
    const whole = await referenceLogits(left, file, TOKENS);
    const executor = await createReferenceExecutor(left, file, executorOptions(TOKENS.length));
    for (const [position, token] of TOKENS.entries()) {
      const row = await executor.step(stepOf([token], position));
      const expected = whole.subarray(position * row.length, (position + 1) * row.length);
      row.forEach((value, i) => {
        expect(Math.abs(value - expected[i])).toBeLessThan(1e-5);
      });
    }
    await executor.dispose();
  });

  test("a model without any attention runs", async () => {
    const all = program.ops.flatMap((op) => (op.kind === "attention" ? [op.cache.name] : []));
    const left = removeSublayers(
      program,
      all.map((_, layer) => ({ layer, kind: "attention" })),
    );
    expect(keyValueBytes(left, "f16")).toBe(0);
    const logits = await referenceLogits(left, file, [7, 9, 7]);
    const width = left.vocabularySize;
    // Nothing but the token itself decides.
    expect(logits.slice(0, width)).toEqual(logits.slice(2 * width));
  });
});

describe("the file", () => {
  test("holds no bytes of what was dropped, and says what it holds", async () => {
    const { file: made, recipe } = await dropSublayers(file, [ATTENTION_1, MLP_3], { base: "abc", seed: 7 });
    const before = await throughFolder(file);
    const { file: opened, weightFileBytes } = await throughFolder(made);
    const gone = [...file.tensors.values()].filter(({ name }) => !opened.tensors.has(name));
    expect(gone.map(({ name }) => name).toSorted()).toEqual(recipe.absent.map(({ name }) => name).toSorted());
    expect(gone).toHaveLength(9 + 7); // norm, four or three matrices, their biases
    const bytes = gone.reduce((sum, tensor) => sum + tensor.bytes, 0);
    expect(before.file.tensorBytes - opened.tensorBytes).toBe(bytes);
    expect(before.weightFileBytes - weightFileBytes).toBeGreaterThanOrEqual(bytes);
    const [read] = readRecipes(opened);
    expect(read).toEqual(recipe);
    expect(sublayersOf(recipe, false).map(sublayerName)).toEqual(["1.attention", "3.mlp"]);
    expect(sublayersOf(recipe, true)).toHaveLength(8);
    expect(recipe.origin).toEqual({ base: "abc", seed: 7 });
  });

  test("can be trimmed further, with the original layer numbers", async () => {
    const once = await throughFolder((await dropSublayers(file, [ATTENTION_1])).file);
    const twice = await dropSublayers(once.file, [MLP_3]);
    expect(twice.recipe).toEqual((await dropSublayers(file, [ATTENTION_1, MLP_3])).recipe);
    expect(await trimmedLogits([MLP_3], once.file)).toEqual(await trimmedLogits([ATTENTION_1, MLP_3]));
    await expect(dropSublayers(once.file, [ATTENTION_1])).rejects.toThrow(/has no sublayer 1.attention/);
  });

  test("is refused when its tensors and its recipe disagree", async () => {
    const { file: made, recipe } = await dropSublayers(file, [MLP_3]);
    const withRecipe = (changes: object, base = made) =>
      loadRecipeProgram(
        overlayFile(base, [], recipeSection([trimRecipeSchema.parse({ ...recipe, ...changes })]) as Json),
      );
    const kept = recipe.layers.map((bits) => ({ ...bits, mlp: true }));
    await expect(withRecipe({})).resolves.toBeDefined();
    await expect(withRecipe({ layers: kept })).rejects.toThrow(/does not fit the dropped sublayers/);
    await expect(withRecipe({ layers: kept.slice(1) })).rejects.toThrow(/4 layers, expected the model's 5/);
    await expect(withRecipe({}, file)).rejects.toThrow(/is in the file, expected it to be gone/);
    await expect(withRecipe({ absent: recipe.absent.slice(1) })).rejects.toThrow(/got no such tensor/);
  });

  test.each([
    [[], /to drop once, got none/],
    [[MLP_3, MLP_3], /to drop once/],
    [[{ layer: 5, kind: "mlp" } as const], /has no sublayer 5.mlp/],
  ])("refuses %o", async (dropped, message) => {
    await expect(dropSublayers(file, dropped)).rejects.toThrow(message);
  });

  test("refuses to leave nothing, and to drop from quantized models", async () => {
    await expect(dropSublayers(file, listSublayers(program))).rejects.toThrow(/at least one sublayer/);
    const { file: quantized } = compressInputGroups(file, program, 32);
    await expect(dropSublayers(quantized, [MLP_3])).rejects.toThrow(UnsupportedError);
  });
});

describe("with other methods", () => {
  test("columns are pruned of what is left, in either order", async () => {
    const pruned = overlayFile(file, [], recipeSection([dipRecipe(0.5)]));
    const { file: made } = await dropSublayers(pruned, [MLP_3]);
    expect(readRecipes(made).map(({ method }) => method)).toEqual(["trimllm", "dynamic-input-pruning"]);
    const { program: rewritten } = await loadRecipeProgram(made);
    expect(rewritten.ops.filter(({ kind }) => kind === "selectColumns")).toHaveLength(2 * 4);
    const dropped = await dropSublayers(file, [MLP_3]);
    const after = overlayFile(dropped.file, [], recipeSection([dropped.recipe, dipRecipe(0.5)]));
    expect((await loadRecipeProgram(after)).program).toEqual(rewritten);
  });

  test("what is left is quantized", async () => {
    const { file: made } = await dropSublayers(file, [MLP_3]);
    const { program: left } = await loadRecipeProgram(made);
    const { file: quantized } = compressInputGroups(made, left, 32);
    const { file: opened } = await throughFolder(quantized);
    expect(readRecipes(opened).map(({ method }) => method)).toEqual(["trimllm", "inputGroups"]);
    expect((await loadRecipeProgram(explainTensors(opened))).program.ops).toHaveLength(left.ops.length);
  });
});
