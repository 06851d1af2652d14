/**
 * The shape of tokenizer.json, checked as far as skim relies on it, and the variants of it that are handed to
 * @huggingface/tokenizers. Source: the serialization of the Hugging Face tokenizers library.
 * Invariant: the parsed file is never changed; variants share what they do not replace.
 */
import { FormatError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import type { Json, JsonObject } from "../formats/model-file.ts";
import { rewritePreTokenizer, splitIndependentWords } from "./tokenizer-json-pipeline.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface TokenizerJson {
  /** `bpe`, `unigram` or `wordpiece` */
  readonly modelType: string;
  readonly addedTokens: readonly AddedToken[];
  readonly decoder: JsonObject | null;
  /** The whole file, with every section the library asks for. */
  readonly sections: JsonObject;
  idOf(token: string): number | undefined;
  /** The file as the library gets it. */
  forLibrary(controlTokens: ReadonlyMap<number, AddedToken>): JsonObject;
}

/** Cannot come out of any text: stands in where an entry must keep its place but never match. */
const UNMATCHABLE = "\uFFFF\uFFFE";

/** @throws FormatError when a section that skim reads is missing or malformed */
export function parseTokenizerJson(folderName: string, json: JsonObject): TokenizerJson {
  const fail = (section: string, expected: string): FormatError =>
    new FormatError(
      `tokenizer.json of ${folderName}: bad ${section}, expected ${expected}, got something else - download the ` +
        "file again",
    );
  const section = (name: string): JsonObject | null => {
    const value = json[name] ?? null;
    if (value === null || isJsonObject(value)) return value;
    throw fail(name, "an object or null");
  };
  const model = section("model");
  if (model === null || !(isJsonObject(model.vocab) || Array.isArray(model.vocab))) {
    throw fail("model", "an object with a vocab");
  }
  const addedTokens = parseAddedTokens(json.added_tokens ?? [], fail);
  const preTokenizer = splitIndependentWords(section("pre_tokenizer"), model);
  const sections: JsonObject = {
    ...json,
    model,
    normalizer: section("normalizer"),
    pre_tokenizer: rewritePreTokenizer(preTokenizer),
    post_processor: section("post_processor"),
    decoder: section("decoder"),
  };
  const addedIds = new Map(addedTokens.map((token) => [token.content, token.id]));
  return {
    modelType: nameModelType(model),
    addedTokens,
    decoder: section("decoder"),
    sections,
    idOf: (token) => addedIds.get(token) ?? vocabularyId(model, token),
    forLibrary: (controlTokens) => ({
      ...sections,
      added_tokens: addedTokens.map((token) =>
        controlTokens.has(token.id) ? { ...token, normalized: false } : { ...token },
      ),
    }),
  };
}

/** The file without any control token: none is split out, none can be merged into being. */
export function withoutControlTokens(
  json: TokenizerJson,
  controlTokens: ReadonlyMap<number, AddedToken>,
): JsonObject {
  const contents = new Set([...controlTokens.values()].map((token) => token.content));
  const model = json.sections.model as JsonObject;
  const { vocab, merges } = model;
  const openVocabulary = Array.isArray(vocab)
    ? vocab.map((entry: Json) =>
        Array.isArray(entry) && contents.has(entry[0] as string) ? [UNMATCHABLE, entry[1]] : entry,
      )
    : Object.fromEntries(Object.entries(vocab as JsonObject).filter(([token]) => !contents.has(token)));
  const openMerges = Array.isArray(merges)
    ? merges.filter((merge: Json) => !contents.has(mergeResult(merge)))
    : undefined;
  return {
    ...json.sections,
    model: { ...model, vocab: openVocabulary, ...(openMerges === undefined ? {} : { merges: openMerges }) },
    added_tokens: json.addedTokens
      .filter((token) => !controlTokens.has(token.id))
      .map((token) => ({ ...token })),
  };
}

/** Merges are `left right` in older files, [left, right] in newer ones. */
const mergeResult = (merge: Json): string =>
  Array.isArray(merge) ? merge.join("") : String(merge).split(" ").join("");

function parseAddedTokens(
  value: Json,
  fail: (section: string, expected: string) => FormatError,
): AddedToken[] {
  if (!Array.isArray(value)) throw fail("added_tokens", "a list");
  return (value as readonly Json[]).map((entry) => {
    if (!isJsonObject(entry)) throw fail("added_tokens", "objects");
    const { id, content, special } = entry;
    const hasId = typeof id === "number" && Number.isInteger(id) && id >= 0;
    if (!hasId || typeof content !== "string") throw fail("added_tokens", "an id and content in each");
    return { ...entry, id, content, special: special === true };
  });
}

function vocabularyId(model: JsonObject, token: string): number | undefined {
  const { vocab } = model;
  if (Array.isArray(vocab)) {
    const id = vocab.findIndex((entry: Json) => Array.isArray(entry) && entry[0] === token);
    return id < 0 ? undefined : id;
  }
  const id = isJsonObject(vocab) && Object.hasOwn(vocab, token) ? vocab[token] : undefined;
  return typeof id === "number" ? id : undefined;
}

/** Old files leave out `model.type`. */
function nameModelType(model: JsonObject): string {
  if (typeof model.type === "string") return model.type.toLowerCase();
  if (Array.isArray(model.vocab)) return "unigram";
  return Array.isArray(model.merges) ? "bpe" : "wordpiece";
}
