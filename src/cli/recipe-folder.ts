/** Writes a checkpoint with more recipes: all tensors as they are, the recipes in config.json. */
import { writeModelFolder } from "../formats/folder-writer.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { overlayFile } from "../formats/overlay-file.ts";
import { type Recipe, readRecipes, recipeSection } from "../methods/recipes.ts";
import { createFolderSink } from "../platform/node.ts";
import { InterruptedError } from "./failure.ts";
import { startProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** Nothing is left behind where it fails or is interrupted. */
export async function writeWithRecipes(
  terminal: Terminal,
  file: ModelFile,
  added: readonly Recipe[],
  out: string,
  signal: AbortSignal,
): Promise<void> {
  const sink = await createFolderSink(out);
  const progress = startProgress(terminal, "writing");
  try {
    const recipes = added.length === 0 ? file.recipes : recipeSection([...readRecipes(file), ...added]);
    await writeModelFolder(overlayFile(file, [], recipes), sink.open, {
      signal,
      onProgress: (done, total) => progress.update(done, total),
    }).finally(() => progress.end());
    await sink.finish();
  } catch (error) {
    await sink.abort();
    throw signal.aborted ? new InterruptedError() : error;
  }
}
