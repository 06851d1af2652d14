/**
 * Takes dropped sublayers out of a program: the residual stream passes by unchanged, and an attention's key/value cache
 * goes with its last use, so that slots are numbered by rank among the attentions that are left (the released code of the
 * paper passes the normed values on instead; README.md). What is dropped is neither stored nor computed.
 */
import { FormatError } from "../../errors.ts";
import type { ModelFile, TensorInfo } from "../../formats/model-file.ts";
import { elementCount } from "../../formats/tensor-layout.ts";
import type { Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { f32 } from "../../quantization/f32.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import { type SublayerId, sublayerName, sublayersOf, type TrimRecipe } from "./recipe.ts";
import { isSame, listSublayers } from "./sublayers.ts";

/**
 * The file as it was before trimming, for building the original program: absent tensors are listed with their shapes and
 * cannot be read. FormatError when one of them is in the file.
 */
export function restoreAbsentTensors(file: ModelFile, recipe: TrimRecipe): ModelFile {
  const tensors = new Map<string, TensorInfo>(file.tensors);
  for (const { name, shape } of recipe.absent) {
    if (file.tensors.has(name)) {
      throw disagreement(file.name, `tensor ${name} is in the file, expected it to be gone`);
    }
    const count = elementCount(shape);
    tensors.set(name, { name, shape, format: f32, bytes: formatBytes(f32, count) });
  }
  const readRows = (name: string, firstRow: number, rowCount: number, target: Uint8Array) =>
    file.readRows(name, firstRow, rowCount, target);
  return { ...file, tensors, readRows, close: () => file.close() };
}

/** The original program without the recipe's sublayers, validated. FormatError when the two do not belong together. */
export function rewriteTrim(program: Program, recipe: TrimRecipe, source: string): Program {
  const sublayers = listSublayers(program);
  const layers = new Set(sublayers.map(({ layer }) => layer)).size;
  if (recipe.layers.length !== layers) {
    throw disagreement(source, `it speaks of ${recipe.layers.length} layers, expected the model's ${layers}`);
  }
  const dropped = sublayersOf(recipe, false);
  const absent = new Set(recipe.absent.map(({ name }) => name));
  const gone = sublayers.filter((sublayer) => dropped.some((id) => isSame(id, sublayer)));
  const needed = gone.flatMap(({ tensors }) => tensors);
  const wrong =
    needed.find((name) => !absent.has(name)) ?? [...absent].find((name) => !needed.includes(name));
  if (gone.length !== dropped.length || wrong !== undefined) {
    throw disagreement(source, `tensor ${wrong ?? "list"} does not fit the dropped sublayers`);
  }
  return removeSublayers(program, dropped);
}

/** The program without `dropped`, validated. Throws Error for sublayers it does not have. */
export function removeSublayers(program: Program, dropped: readonly SublayerId[]): Program {
  const sublayers = listSublayers(program);
  const gone = dropped.map((id) => {
    const sublayer = sublayers.find((candidate) => isSame(candidate, id));
    if (sublayer === undefined) throw new Error(`${program.name}: has no sublayer ${sublayerName(id)}`);
    return sublayer;
  });
  const isGone = (index: number) => gone.some(({ first, last }) => index >= first && index <= last);
  return validateProgram({ ...program, ops: program.ops.filter((_, index) => !isGone(index)) });
}

function disagreement(source: string, problem: string): FormatError {
  return new FormatError(`${source}: recipe trimllm: ${problem} - the checkpoint is damaged`);
}
