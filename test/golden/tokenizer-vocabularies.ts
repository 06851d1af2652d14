/**
 * Tiny vocabularies of each kind that GGUF knows, small enough to predict every id by hand, complete enough to encode
 * any text.
 */
import type { GgufValue } from "../../src/formats/model-file.ts";
import { BYTE_CHARACTERS } from "../../src/tokenizer/byte-level-alphabet.ts";
import { TOKEN_TYPE } from "../../src/tokenizer/gguf-vocabulary.ts";

type Entry = readonly [token: string, type: number, score?: number];

function metadataOf(model: string, entries: readonly Entry[]): Record<string, GgufValue> {
  return {
    "tokenizer.ggml.model": model,
    "tokenizer.ggml.tokens": entries.map(([token]) => token),
    "tokenizer.ggml.token_type": entries.map(([, type]) => type),
    ...(model === "llama" ? { "tokenizer.ggml.scores": entries.map(([, , score]) => score ?? 0) } : {}),
  };
}

const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** `hello` is `▁hel` + `lo`: the pairs on the way to it score better than `hel` and `el`. */
export function sentencePieceMetadata(): Record<string, GgufValue> {
  const bytes = Array.from({ length: 256 }, (_, byte): Entry => [byteToken(byte), TOKEN_TYPE.byte]);
  const scored = (token: string, score: number): Entry => [token, TOKEN_TYPE.normal, score];
  const entries: Entry[] = [
    ["<unk>", TOKEN_TYPE.unknown],
    ["<s>", TOKEN_TYPE.control],
    ["</s>", TOKEN_TYPE.control],
    ...bytes,
    ...["▁", "a", "b", "h", "e", "l", "o"].map((token) => scored(token, -100)),
    scored("▁h", -1),
    scored("▁he", -2),
    scored("▁hel", -3),
    scored("lo", -4),
    scored("▁▁", -5),
    scored("el", -50),
    scored("hel", -51),
    ["<user>", TOKEN_TYPE.userDefined],
  ];
  return {
    ...metadataOf("llama", entries),
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
}

/** All bytes, a few merges, chat tokens. */
export function bytePairMetadata(): Record<string, GgufValue> {
  const normal = (token: string): Entry => [token, TOKEN_TYPE.normal];
  const control = (token: string): Entry => [token, TOKEN_TYPE.control];
  const entries = [
    ...BYTE_CHARACTERS.map(normal),
    ...["he", "ll", "hell"].map(normal),
    ...["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(control),
  ];
  const idOf = (text: string): number => entries.findIndex(([token]) => token === text);
  return {
    ...metadataOf("gpt2", entries),
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.merges": ["h e", "l l", "he ll"],
    "tokenizer.ggml.bos_token_id": idOf("<|endoftext|>"),
    "tokenizer.ggml.eos_token_id": idOf("<|endoftext|>"),
  };
}

/** A few words and continuations. */
export function wordPieceMetadata(): Record<string, GgufValue> {
  const entries: Entry[] = [
    ["[PAD]", TOKEN_TYPE.control],
    ["[UNK]", TOKEN_TYPE.control],
    ["[CLS]", TOKEN_TYPE.control],
    ["[SEP]", TOKEN_TYPE.control],
    ...["▁hug", "▁,", "▁!", "ging", "hug", "▁"].map((token): Entry => [token, TOKEN_TYPE.normal]),
  ];
  return {
    ...metadataOf("bert", entries),
    "tokenizer.ggml.unknown_token_id": 1,
    "tokenizer.ggml.cls_token_id": 2,
    "tokenizer.ggml.seperator_token_id": 3,
    "tokenizer.ggml.padding_token_id": 0,
  };
}
