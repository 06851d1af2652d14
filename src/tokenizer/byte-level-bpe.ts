/**
 * Byte-level byte-pair encoding as in GPT-2 (Radford et al. 2019), for GGUF vocabularies of model `gpt2`: cut
 * the text into words, write each word's bytes in the byte-level alphabet, merge by rank.
 * Invariant: a word is encoded by itself, so its ids can be remembered.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import { fromByteCharacters, toByteCharacters } from "./byte-level-alphabet.ts";
import { type GgufVocabulary, textIds, TOKEN_TYPE } from "./gguf-vocabulary.ts";
import { mergeSymbols } from "./merge-symbols.ts";
import { findPreTokenizer, type PreTokenizer, splitWords } from "./pre-tokenizers.ts";
import type { SubwordModel } from "./subword-model.ts";
import { WordCache } from "./word-cache.ts";

/** What llama.cpp takes where `tokenizer.ggml.pre` is absent, as in files from before the key existed. */
const PRE_TOKENIZER_WHEN_ABSENT = "default";

export class ByteLevelBpe implements SubwordModel {
  readonly kind: string;
  readonly addBos: boolean;
  readonly addEos = false;
  readonly closingId: number | undefined;
  readonly addSpacePrefix = false;
  private readonly tokens: readonly string[];
  private readonly unknownId: number | undefined;
  private readonly preTokenizer: PreTokenizer;
  /** Token in the byte-level alphabet to id; control tokens are not text. */
  private readonly ids: ReadonlyMap<string, number>;
  /** `left right` to rank, as the file writes merges. */
  private readonly ranks = new Map<string, number>();
  private readonly cache = new WordCache();
  private readonly utf8 = new TextEncoder();

  /** @throws FormatError without merges, UnsupportedError for an unknown pre-tokenizer */
  constructor(vocabulary: GgufVocabulary) {
    if (vocabulary.merges === undefined) {
      throw new FormatError(
        `${vocabulary.name}: no tokenizer.ggml.merges, expected the merges of a gpt2 vocabulary, got none - ` +
          "convert the model again",
      );
    }
    this.preTokenizer = findPreTokenizer(vocabulary.preTokenizer ?? PRE_TOKENIZER_WHEN_ABSENT);
    this.kind = `bpe (${this.preTokenizer.name})`;
    this.addBos = this.preTokenizer.addBos;
    this.closingId = vocabulary.eosId;
    this.tokens = vocabulary.tokens;
    // GPT-2's files name <|endoftext|> as unknown token;
    // an end in the middle of a text is no stand-in for a byte.
    const { unknownId } = vocabulary;
    this.unknownId =
      unknownId !== undefined && vocabulary.types[unknownId] === TOKEN_TYPE.unknown ? unknownId : undefined;
    this.ids = textIds(vocabulary);
    vocabulary.merges.forEach((merge, rank) => {
      if (!this.ranks.has(merge)) this.ranks.set(merge, rank);
    });
  }

  encode(text: string, ids: number[]): void {
    for (const word of splitWords(text, this.preTokenizer.patterns)) {
      for (const id of this.cache.get(word, this.encodeWord)) ids.push(id);
    }
  }

  piece(id: number): Uint8Array {
    const token = this.tokens[id] ?? "";
    return fromByteCharacters(token) ?? this.utf8.encode(token);
  }

  private readonly encodeWord = (word: string): number[] => {
    const text = toByteCharacters(this.utf8.encode(word));
    if (this.preTokenizer.ignoreMerges) {
      const whole = this.ids.get(text);
      if (whole !== undefined) return [whole];
    }
    const bytes = Array.from(text, (_, index) => index);
    const starts = mergeSymbols(
      bytes,
      text.length,
      (start, middle, end) =>
        this.ranks.get(`${text.slice(start, middle)} ${text.slice(middle, end)}`) ?? Number.POSITIVE_INFINITY,
    );
    return starts.flatMap((start, i) => this.symbolIds(text.slice(start, starts[i + 1] ?? text.length)));
  };

  /** A merged symbol is a token; one that is not (merges may pass through such) falls back to its bytes. */
  private symbolIds(symbol: string): number[] {
    const id = this.ids.get(symbol);
    if (id !== undefined) return [id];
    return Array.from(symbol, (byte) => {
      const byteId = this.ids.get(byte) ?? this.unknownId;
      if (byteId !== undefined) return byteId;
      throw new UnsupportedError(
        `tokenizer: no token for the byte character ${JSON.stringify(byte)}, expected a vocabulary with all 256 ` +
          "bytes or an unknown token, got neither - this text cannot be encoded with this vocabulary",
      );
    });
  }
}
