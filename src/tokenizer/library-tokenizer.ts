/**
 * The part of @huggingface/tokenizers that skim uses, typed: the package's own declarations do not resolve
 * under Node's module resolution (their imports lack extensions), so they would all be `any`.
 * Invariant: nothing else of skim imports that package.
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/model-file.ts";

export interface LibraryTokenizer {
  /** Ids are undefined for tokens outside a vocabulary without an unknown token. */
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: (number | undefined)[] };
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  /** [id] token; sparse */
  readonly model: { readonly vocab: readonly string[] };
  readonly post_processor: {
    post_process(tokens: string[], pair: null, addSpecial: boolean): { readonly tokens: readonly string[] };
  } | null;
}

/**
 * Builds the library's tokenizer.
 * @param json tokenizer.json with all its sections
 * @param config tokenizer_config.json
 * @throws UnsupportedError with the library's reason when it cannot
 */
export function createLibraryTokenizer(
  fileName: string,
  json: JsonObject,
  config: JsonObject | undefined,
): LibraryTokenizer {
  try {
    return new Tokenizer(json, config ?? {}) as LibraryTokenizer;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UnsupportedError(
      `${fileName}: cannot be used (${reason}) - use a model with a tokenizer of @huggingface/tokenizers`,
      { cause: error },
    );
  }
}
