/**
 * The tokenizer of a model file, whatever its container.
 */
import type { ModelFile } from "../formats/model-file.ts";
import { createGgufTokenizer } from "./gguf-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { loadTokenizerJson } from "./tokenizer-json.ts";

/**
 * Loads the tokenizer of a model; works on vocabulary-only files too. Whether its size fits the model's
 * embedding is the caller's to check.
 * @throws UnsupportedError when there is none (saying what was looked for) or its kind is unknown;
 *   FormatError when it is damaged
 */
export async function loadTokenizer(file: ModelFile): Promise<Tokenizer> {
  return file.container === "gguf" ? createGgufTokenizer(file) : loadTokenizerJson(file);
}
