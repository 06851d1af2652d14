/**
 * A small SentencePiece-style vocabulary for synthetic checkpoints: control tokens, 256 byte tokens, the
 * space mark, letters, then numbered words. Valid for llama.cpp as `tokenizer.ggml.model = llama` and,
 * written as tokenizer.json, for the tokenizers library.
 */
import {
  arrayField,
  boolField,
  type GgufField,
  stringField,
  uint32Field,
} from "../../formats/gguf-values.ts";
import type { JsonObject } from "../../formats/model-file.ts";

/** Token types of GGUF vocabularies (llama_token_type). */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/** SentencePiece's visible space. */
export const SPACE_MARK = "\u2581";
export const BYTE_TOKENS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);
/** llama.cpp looks for `<|endoftext|>` in models whose name says phi3. */
const CONTROL_TOKENS = ["<unk>", "<s>", "</s>", "<|endoftext|>"] as const;
const FIRST_TEXT_TOKEN = CONTROL_TOKENS.length + BYTE_TOKENS.length;

/** Token texts by id; at least 320 of them. */
export function syntheticTokens(size: number): string[] {
  const letters = [...Array(26).keys()].map((i) => String.fromCharCode(97 + i));
  const text = [SPACE_MARK, ...letters, ...letters.map((letter) => SPACE_MARK + letter)];
  const words = Array.from({ length: size }, (_, i) => `${SPACE_MARK}w${i}`);
  return [...CONTROL_TOKENS, ...BYTE_TOKENS, ...text, ...words].slice(0, size);
}

/** The `tokenizer.ggml.*` keys. */
export function ggufVocabulary(size: number): [string, GgufField][] {
  const tokens = syntheticTokens(size);
  const types = tokens.map((_, id) =>
    id === 0
      ? TOKEN_TYPE.unknown
      : id < CONTROL_TOKENS.length
        ? TOKEN_TYPE.control
        : id < FIRST_TEXT_TOKEN
          ? TOKEN_TYPE.byte
          : TOKEN_TYPE.normal,
  );
  const scores = tokens.map((_, id) => (id < FIRST_TEXT_TOKEN ? 0 : -id));
  return sentencePieceFields(tokens, scores, types);
}

/** Metadata of a SentencePiece vocabulary whose first three tokens are unknown, BOS and EOS. */
export function sentencePieceFields(
  tokens: string[],
  scores: number[],
  types: number[],
): [string, GgufField][] {
  return [
    ["tokenizer.ggml.model", stringField("llama")],
    ["tokenizer.ggml.pre", stringField("default")],
    ["tokenizer.ggml.tokens", arrayField("string", tokens)],
    ["tokenizer.ggml.scores", arrayField("float32", scores)],
    ["tokenizer.ggml.token_type", arrayField("int32", types)],
    ["tokenizer.ggml.bos_token_id", uint32Field(1)],
    ["tokenizer.ggml.eos_token_id", uint32Field(2)],
    ["tokenizer.ggml.unknown_token_id", uint32Field(0)],
    ["tokenizer.ggml.add_bos_token", boolField(true)],
    ["tokenizer.ggml.add_eos_token", boolField(false)],
  ];
}

/** tokenizer.json of the same vocabulary: BPE with byte fallback, as converted from SentencePiece models. */
export function tokenizerJson(size: number): JsonObject {
  const tokens = syntheticTokens(size);
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: tokens.slice(0, CONTROL_TOKENS.length).map((content, id) => ({ id, content, ...special })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: SPACE_MARK },
        { type: "Replace", pattern: { String: " " }, content: SPACE_MARK },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: SPACE_MARK }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** tokenizer_config.json that goes with it. */
export function tokenizerConfigJson(): JsonObject {
  return {
    tokenizer_class: "LlamaTokenizer",
    bos_token: "<s>",
    eos_token: "</s>",
    unk_token: "<unk>",
    add_bos_token: true,
    add_eos_token: false,
    model_max_length: 256,
  };
}
