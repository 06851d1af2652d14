/**
 * The vocabulary section of a GGUF file (`tokenizer.ggml.*` metadata), checked and typed.
 * Source: the GGUF specification's tokenizer keys (docs/gguf.md of ggml) and the token types of llama.cpp's
 * llama.h. Invariant: types and scores, where present, are as long as the tokens, and every id is in range;
 * converters write 2^32 - 1 for "no such token", which reads as undefined.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { GgufModelFile, GgufValue } from "../formats/model-file.ts";

/** Values of `tokenizer.ggml.token_type`. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const FIRST_TOKEN_TYPE = TOKEN_TYPE.normal;
const LAST_TOKEN_TYPE = TOKEN_TYPE.byte;

export interface GgufVocabulary {
  /** File name, for messages. */
  readonly name: string;
  /** `general.architecture` */
  readonly architecture: string;
  /** `tokenizer.ggml.model`: `llama`, `gpt2`, `bert`, ... */
  readonly model: string;
  /** `tokenizer.ggml.pre` */
  readonly preTokenizer: string | undefined;
  readonly tokens: readonly string[];
  /** [token], values of TOKEN_TYPE */
  readonly types: readonly number[];
  /** [token] for SentencePiece vocabularies */
  readonly scores: readonly number[] | undefined;
  /** `left right` pairs, best first, for byte-level BPE */
  readonly merges: readonly string[] | undefined;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly unknownId: number | undefined;
  /** BERT's [SEP] */
  readonly separatorId: number | undefined;
  /** End of turn and end of message, where the file names them. */
  readonly endOfTurnIds: readonly number[];
  /** What the file says about adding tokens; undefined leaves it to the kind of tokenizer. */
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
  readonly addSpacePrefix: boolean | undefined;
}

/**
 * Reads the vocabulary of a GGUF file.
 * @throws UnsupportedError when the file has none, FormatError when it contradicts itself
 */
export function readGgufVocabulary(file: GgufModelFile): GgufVocabulary {
  const fields = new MetadataFields(file);
  const model = fields.string("model");
  const tokens = fields.strings("tokens");
  if (model === undefined || tokens === undefined || tokens.length === 0) {
    throw new UnsupportedError(
      `${file.name}: the file has no tokenizer, expected the metadata keys tokenizer.ggml.model and ` +
        "tokenizer.ggml.tokens - convert the model again with its vocabulary",
    );
  }
  const bosId =
    fields.tokenId("bos_token_id", tokens.length) ?? fields.tokenId("cls_token_id", tokens.length);
  const eosId = fields.tokenId("eos_token_id", tokens.length);
  const unknownId = fields.tokenId("unknown_token_id", tokens.length);
  const separatorId =
    // The misspelling is the specification's.
    fields.tokenId("seperator_token_id", tokens.length) ??
    fields.tokenId("separator_token_id", tokens.length);
  return {
    name: file.name,
    architecture: file.architecture,
    model,
    preTokenizer: fields.string("pre"),
    tokens,
    types: readTypes(fields, tokens.length, [bosId, eosId, separatorId], unknownId),
    scores: fields.numbers("scores", tokens.length),
    merges: fields.strings("merges"),
    bosId,
    eosId,
    unknownId,
    separatorId,
    endOfTurnIds: [
      fields.tokenId("eot_token_id", tokens.length),
      fields.tokenId("eom_token_id", tokens.length),
    ].filter((id) => id !== undefined),
    addBos: fields.boolean("add_bos_token"),
    addEos: fields.boolean("add_eos_token"),
    addSpacePrefix: fields.boolean("add_space_prefix"),
  };
}

/**
 * Text to id, the first of equal tokens: control and unknown tokens are not text,
 * nor are those of the `other` type.
 */
export function textIds({ tokens, types }: GgufVocabulary, other?: number): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    const isText =
      types[id] !== TOKEN_TYPE.control && types[id] !== TOKEN_TYPE.unknown && types[id] !== other;
    if (isText && !ids.has(token)) ids.set(token, id);
  });
  return ids;
}

function readTypes(
  fields: MetadataFields,
  count: number,
  controlIds: readonly (number | undefined)[],
  unknownId: number | undefined,
): readonly number[] {
  const types = fields.numbers("token_type", count);
  if (types !== undefined) {
    const wrong = types.findIndex((type) => !(type >= FIRST_TOKEN_TYPE && type <= LAST_TOKEN_TYPE));
    if (wrong >= 0) {
      throw fields.error("token_type", `types from ${FIRST_TOKEN_TYPE} to ${LAST_TOKEN_TYPE}`, types[wrong]);
    }
    return types;
  }
  // Files without types still name their special tokens.
  const inferred = new Array<number>(count).fill(TOKEN_TYPE.normal);
  for (const id of controlIds) if (id !== undefined) inferred[id] = TOKEN_TYPE.control;
  if (unknownId !== undefined) inferred[unknownId] = TOKEN_TYPE.unknown;
  return inferred;
}

/** Typed access to `tokenizer.ggml.*`; an absent key is undefined, a key of the wrong type an error. */
class MetadataFields {
  private readonly file: GgufModelFile;

  constructor(file: GgufModelFile) {
    this.file = file;
  }

  string(key: string): string | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.error(key, "a string", value);
  }

  boolean(key: string): boolean | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.error(key, "a boolean", value);
  }

  strings(key: string): readonly string[] | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    throw this.error(key, "an array of strings", value);
  }

  numbers(key: string, count: number): readonly number[] | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === "number")) {
      throw this.error(key, "an array of numbers", value);
    }
    if (value.length !== count) throw this.error(key, `${count} entries, one per token`, value.length);
    return value;
  }

  tokenId(key: string, count: number): number | undefined {
    const value = this.value(key);
    if (value === undefined || value === 0xffffffff || value === -1) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < count) return value;
    throw this.error(key, `a token id below ${count}`, value);
  }

  error(key: string, expected: string, got: GgufValue): FormatError {
    const shown = Array.isArray(got) ? "another kind of array" : String(got).slice(0, 40);
    return new FormatError(
      `${this.file.name}: bad tokenizer.ggml.${key}, expected ${expected}, got ${shown} - the file is damaged or ` +
        "was converted wrongly",
    );
  }

  private value(key: string): GgufValue | undefined {
    return this.file.metadata.get(`tokenizer.ggml.${key}`);
  }
}
