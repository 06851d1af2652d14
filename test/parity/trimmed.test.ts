/**
 * Trimmed checkpoints of every family on the wasm executor: close to the reference executor, in one step and token by
 * token, alone and with the other methods on top; dropping is as zeroing the output projection.
 */
import { describe, expect, test } from "vitest";
import { relativeError } from "../../src/executors/case-runner.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { overlayFile } from "../../src/formats/overlay-file.ts";
import { dipRecipe } from "../../src/methods/dynamic-input-pruning/recipe.ts";
import { loadRecipeProgram, readRecipes, recipeSection } from "../../src/methods/recipes.ts";
import { dropSublayers } from "../../src/methods/trimllm/drop.ts";
import type { SublayerId } from "../../src/methods/trimllm/recipe.ts";
import {
  createSyntheticCheckpoint,
  openSyntheticFolder,
  openSyntheticGguf,
} from "../../src/models/synthetic/checkpoint.ts";
import {
  SYNTHETIC_FAMILIES,
  type SyntheticFamily,
  syntheticShape,
} from "../../src/models/synthetic/shape.ts";
import type { Program } from "../../src/program/program.ts";
import { executorOptions, makeTender, referenceLogits } from "../tender-models.ts";
import { silence, throughFolder } from "../trimmed-models.ts";
import { inlinePlatform } from "./inline-platform.ts";
import { runInPieces } from "./sequence-runs.ts";

const TOKENS = Array.from({ length: 24 }, (_, t) => (t * 37 + 11) % 320);
const DROPPED: readonly SublayerId[] = [
  { layer: 1, kind: "attention" },
  { layer: 2, kind: "mlp" },
];
const PLATFORM = inlinePlatform();

function checkpoint(family: SyntheticFamily) {
  return createSyntheticCheckpoint(family, syntheticShape(family, { layers: 3 }), 7);
}

async function wasmLogits(program: Program, file: ModelFile, lengths: readonly number[]) {
  const options = executorOptions(TOKENS.length);
  const executor = await createWasmExecutor(PLATFORM, program, file, options);
  try {
    return await runInPieces(executor, TOKENS, 0, lengths);
  } finally {
    await executor.dispose();
  }
}

describe.each(SYNTHETIC_FAMILIES)("trimmed %s", (family) => {
  test.each([
    ["folder", openSyntheticFolder],
    ["GGUF file", openSyntheticGguf],
  ])("from a %s", async (_, open) => {
    const { file } = await throughFolder((await dropSublayers(await open(checkpoint(family)), DROPPED)).file);
    const { program } = await loadRecipeProgram(file);
    const expected = await referenceLogits(program, file, TOKENS);
    for (const lengths of [[TOKENS.length], [1]]) {
      const got = await wasmLogits(program, file, lengths);
      expect(relativeError(got, expected, 320)).toBeLessThan(2e-5);
    }
  });
});

test("dropping is as zeroing on the wasm executor too, bit for bit", async () => {
  const file = await openSyntheticFolder(checkpoint("llama"));
  const { program } = await loadRecipeProgram(file);
  const { file: made } = await dropSublayers(file, DROPPED);
  const trimmed = await wasmLogits((await loadRecipeProgram(made)).program, made, [5, 1]);
  expect(trimmed).toEqual(await wasmLogits(program, silence(file, program, DROPPED), [5, 1]));
});

test("a model without attention runs", async () => {
  const file = await openSyntheticFolder(checkpoint("llama"));
  const all = [0, 1, 2].map((layer) => ({ layer, kind: "attention" as const }));
  const { file: made } = await dropSublayers(file, all);
  const { program } = await loadRecipeProgram(made);
  const expected = await referenceLogits(program, made, TOKENS);
  expect(relativeError(await wasmLogits(program, made, [7]), expected, 320)).toBeLessThan(2e-5);
});

describe("with a method on top", () => {
  test("chosen columns", async () => {
    const { file, recipe } = await dropSublayers(await openSyntheticFolder(checkpoint("llama")), DROPPED);
    const pruned = overlayFile(file, [], recipeSection([recipe, dipRecipe(0.6)]));
    const { program } = await loadRecipeProgram(pruned);
    const reference = await createReferenceExecutor(program, pruned, executorOptions(TOKENS.length));
    const expected = await runInPieces(reference, TOKENS, 0, [1]);
    expect(relativeError(await wasmLogits(program, pruned, [1]), expected, 320)).toBeLessThan(2e-5);
    await reference.dispose();
  });

  test("Tender", async () => {
    const { file } = await dropSublayers(await openSyntheticFolder(checkpoint("llama")), DROPPED);
    const { program: left } = await loadRecipeProgram(file);
    const { file: made } = await makeTender(file, left, [TOKENS]);
    const { file: opened } = await throughFolder(made);
    expect(readRecipes(opened).map(({ method }) => method)).toEqual(["trimllm", "tender"]);
    const { program } = await loadRecipeProgram(opened);
    expect(program.ops.filter(({ kind }) => kind === "attention")).toHaveLength(2);
    const expected = await referenceLogits(program, opened, TOKENS);
    const got = await wasmLogits(program, opened, [TOKENS.length]);
    expect(relativeError(got, expected, 320)).toBeLessThan(1e-3);
  });
});
