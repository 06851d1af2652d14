/**
 * What skim reads from tokenizer_config.json, generation_config.json and config.json about tokens: the
 * names of the special ones, which of them are added, which end a generation. Source: the files
 * transformers writes.
 * Invariant: absent is undefined; present but of the wrong type is a FormatError.
 */
import { FormatError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import type { HuggingFaceModelFile, Json, JsonObject } from "../formats/model-file.ts";

/** Names under which tokenizer_config.json gives a special token. */
export type SpecialTokenName = "bos_token" | "eos_token" | "unk_token" | "pad_token";

/** The text of a special token: given as a string or as an added-token object with `content`. */
export function readSpecialTokenText(
  config: JsonObject | undefined,
  name: SpecialTokenName,
): string | undefined {
  const value = config?.[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  if (isJsonObject(value) && typeof value.content === "string") return value.content;
  throw new FormatError(
    `tokenizer_config.json: bad ${name}, expected a string or an object with content, got ` +
      `${JSON.stringify(value).slice(0, 60)} - fix the file`,
  );
}

/** `additional_special_tokens`, which some chat templates index; empty where absent. */
export function readAdditionalSpecialTokens(config: JsonObject | undefined): readonly string[] {
  const value = config?.additional_special_tokens;
  if (value === undefined || value === null) return [];
  const texts = (Array.isArray(value) ? value : [value]).map((token) =>
    isJsonObject(token) ? token.content : token,
  );
  if (texts.every((text) => typeof text === "string")) return texts;
  throw new FormatError(
    "tokenizer_config.json: bad additional_special_tokens, expected a list of strings or objects with content, got " +
      `${JSON.stringify(value).slice(0, 60)} - fix the file`,
  );
}

/**
 * `bos_token_id` / `eos_token_id` of generation_config.json and config.json: a number,
 * a list, null or absent.
 */
export function readTokenIds(
  file: HuggingFaceModelFile,
  name: "bos_token_id" | "eos_token_id",
): readonly number[] {
  return [file.generationConfig, file.config].flatMap((config) => {
    const value = config?.[name];
    if (value === undefined || value === null) return [];
    const ids: readonly Json[] = Array.isArray(value) ? value : [value];
    return ids.map((id) => {
      if (typeof id === "number" && Number.isInteger(id) && id >= 0) return id;
      throw new FormatError(
        `${file.name}: bad ${name}, expected a token id or a list of them, got ${JSON.stringify(value)} - fix ` +
          "config.json or generation_config.json",
      );
    });
  });
}

/**
 * Tokenizer classes whose BOS and EOS transformers takes from tokenizer_config.json, whatever post-processor
 * tokenizer.json has.
 */
const CLASSES_WITH_ADD_FLAGS: readonly string[] = [
  "LlamaTokenizer",
  "LlamaTokenizerFast",
  "CodeLlamaTokenizer",
  "CodeLlamaTokenizerFast",
  "GemmaTokenizer",
  "GemmaTokenizerFast",
];

/** `add_bos_token` / `add_eos_token` where they count; undefined leaves it to the post-processor. */
export function readAddFlags(config: JsonObject | undefined): {
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
} {
  const counts =
    typeof config?.tokenizer_class === "string" && CLASSES_WITH_ADD_FLAGS.includes(config.tokenizer_class);
  const flag = (value: Json | undefined): boolean | undefined =>
    counts && typeof value === "boolean" ? value : undefined;
  return { addBos: flag(config?.add_bos_token), addEos: flag(config?.add_eos_token) };
}
