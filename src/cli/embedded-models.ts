/**
 * Where the models that come with skim lie: `models/` beside `dist/` (or `src/`) in the package. Each folder
 * has a model card that says how it was made.
 */
import { fileURLToPath } from "node:url";

export type EmbeddedModel = "calc" | "tales";

/** Path of the model's Hugging Face folder. */
export function embeddedModelPath(name: EmbeddedModel): string {
  return fileURLToPath(new URL(`../../models/${name}`, import.meta.url));
}
