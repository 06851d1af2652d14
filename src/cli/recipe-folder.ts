/** Writes a checkpoint with more recipes: all tensors as they are, the recipes in config.json. */
import type { ModelFile } from "../formats/model-file.ts";
import { overlayFile } from "../formats/overlay-file.ts";
import { type Recipe, readRecipes, recipeSection } from "../methods/recipes.ts";
import { writeNewFolder } from "./model-folder.ts";
import type { Terminal } from "./terminal.ts";

/** Nothing is left behind where it fails or is interrupted. */
export async function writeWithRecipes(
  terminal: Terminal,
  file: ModelFile,
  added: readonly Recipe[],
  out: string,
  signal: AbortSignal,
): Promise<void> {
  const recipes = added.length === 0 ? file.recipes : recipeSection([...readRecipes(file), ...added]);
  await writeNewFolder(terminal, overlayFile(file, [], recipes), out, signal);
}
