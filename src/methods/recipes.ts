/**
 * The recipes of a checkpoint: the `skim` section of config.json, checked, and applied to the checkpoint's program in the
 * order they stand there. Adding a method is one line in the list of schemas and one in the switch.
 */
import { z } from "zod";
import { FormatError, UnsupportedError } from "../errors.ts";
import type { Json, ModelFile } from "../formats/model-file.ts";
import type { LoadedModel } from "../models/family.ts";
import { loadProgram, type ProgramOptions } from "../models/registry.ts";
import { weightsOf } from "../program/dataflow.ts";
import type { Program } from "../program/program.ts";
import { validateProgram } from "../program/validator.ts";
import { attentionSpanRecipeSchema } from "./attention-span/recipe.ts";
import { columnRecipeSchema } from "./dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "./dynamic-input-pruning/rewrite.ts";
import { inputGroupsRecipeSchema } from "./input-groups/recipe.ts";
import { explainInputGroups } from "./input-groups/tensors.ts";
import { proSparseRecipeSchema } from "./prosparse/recipe.ts";
import { rewriteNeurons } from "./prosparse/rewrite.ts";
import { tenderRecipeSchema } from "./tender/recipe.ts";
import { rewriteTender } from "./tender/rewrite.ts";
import { trimRecipeSchema } from "./trimllm/recipe.ts";
import { restoreAbsentTensors, rewriteTrim } from "./trimllm/rewrite.ts";

/** Version of the section as a whole; each recipe has its own beside it. */
const RECIPES_VERSION = 1;

const recipeSchema = z.discriminatedUnion("method", [
  tenderRecipeSchema,
  columnRecipeSchema,
  inputGroupsRecipeSchema,
  attentionSpanRecipeSchema,
  trimRecipeSchema,
  proSparseRecipeSchema,
]);
const sectionSchema = z.strictObject({
  version: z.literal(RECIPES_VERSION),
  recipes: z.array(recipeSchema),
});

export type Recipe = z.infer<typeof recipeSchema>;

/** The section that `recipes` make. */
export function recipeSection(recipes: readonly Recipe[]): Json {
  return { version: RECIPES_VERSION, recipes: recipes as unknown as Json[] }; // recipes are plain JSON by their schema
}

/** Recipes of a checkpoint, none when it has no such section. FormatError with the path of the first wrong field. */
export function readRecipes(file: Pick<ModelFile, "name" | "recipes">): readonly Recipe[] {
  if (file.recipes === undefined) return [];
  const outcome = sectionSchema.safeParse(file.recipes);
  if (outcome.success) return outcome.data.recipes;
  const issue = outcome.error.issues[0];
  const path = ["skim", ...issue.path].join(".");
  throw new FormatError(
    `${file.name}: config.json key ${path}: ${issue.message} - the file is damaged or from another version of skim`,
  );
}

/** The checkpoint as its recipes mean it: what they store in tensors of their own shows as ordinary weights. */
export function explainTensors(file: ModelFile): ModelFile {
  let explained = file;
  for (const recipe of readRecipes(file)) {
    if (recipe.method === "inputGroups") explained = explainInputGroups(explained, recipe);
  }
  return explained;
}

/** `loadProgram` followed by the checkpoint's recipes. Errors as there and FormatError, UnsupportedError for recipes. */
export async function loadRecipeProgram(file: ModelFile, options: ProgramOptions = {}): Promise<LoadedModel> {
  const trimmed = readRecipes(file).find((recipe) => recipe.method === "trimllm");
  const original = trimmed === undefined ? file : restoreAbsentTensors(file, trimmed);
  const { parameters, program } = await loadProgram(original, options);
  return { parameters, program: applyRecipes(program, file) };
}

/**
 * The program that trains: without the sublayers that are gone and before all other recipes, which say how the trained
 * weights are to be read. Errors as `loadRecipeProgram`.
 */
export function loadTrainableProgram(file: ModelFile, options: ProgramOptions = {}): Promise<LoadedModel> {
  const trimmed = readRecipes(file).filter(({ method }) => method === "trimllm");
  return loadRecipeProgram({ ...file, recipes: recipeSection(trimmed), close: () => file.close() }, options);
}

/** The program with the checkpoint's recipes applied, validated. */
export function applyRecipes(program: Program, file: ModelFile): Program {
  let rewritten = program;
  for (const recipe of readRecipes(file)) {
    switch (recipe.method) {
      case "inputGroups":
        break; // a matter of tensors, not of ops
      case "attention-span":
        break; // a matter of the session, which asks for intervals step by step
      case "tender":
        rewritten = rewriteTender(rewritten, recipe, file.tensors, file.name);
        break;
      case "dynamic-input-pruning":
        rewritten = rewriteColumns(rewritten, recipe);
        break;
      case "prosparse":
        rewritten = rewriteNeurons(rewritten, recipe, file.tensors);
        break;
      case "trimllm":
        rewritten = rewriteTrim(rewritten, recipe, file.name);
        break;
    }
  }
  refuseStrayCodes(rewritten, file);
  return validateProgram(rewritten);
}

/** Codes without the recipe that gives them meaning would run as weights, and as nonsense. */
function refuseStrayCodes(program: Program, file: ModelFile): void {
  for (const op of program.ops) {
    if (op.kind === "tenderLinear" || op.kind === "attention") continue;
    const stray = weightsOf(op).find(({ tensor }) => file.tensors.get(tensor)?.format.codes === true);
    if (stray !== undefined) {
      throw new UnsupportedError(
        `${file.name}: tensor ${stray.tensor} holds integer codes, expected weights or a recipe in config.json that explains them - use the checkpoint it was made from`,
      );
    }
  }
}
