/**
 * SentencePiece's BPE (Kudo & Richardson 2018) for GGUF vocabularies of model `llama`: start from
 * characters, always merge the pair whose union has the highest score; characters without a token fall back
 * to byte tokens `<0x00>`.
 * Invariant: where no token holds a space after another character, words are encoded independently of each
 * other, so the text is cut before each run of spaces and the ids of words are remembered. Other vocabularies
 * merge the whole text at once.
 */
import { FormatError } from "../errors.ts";
import { type GgufVocabulary, textIds, TOKEN_TYPE } from "./gguf-vocabulary.ts";
import { mergeSymbols } from "./merge-symbols.ts";
import { byteOfToken, SPACED_WORD, SPACE_INSIDE, SPACE_SYMBOL, type SubwordModel } from "./subword-model.ts";
import { WordCache } from "./word-cache.ts";

const BYTE_COUNT = 256;
const WORDS = new RegExp(SPACED_WORD, "g");
const SPACE_BYTE = 0x20;

export class SentencePiece implements SubwordModel {
  readonly kind = "sentencepiece";
  readonly addBos = true;
  readonly addEos = false;
  readonly closingId: number | undefined;
  readonly addSpacePrefix: boolean;
  private readonly tokens: readonly string[];
  private readonly scores: readonly number[];
  /** Text to id; control, unknown and byte tokens are not text. */
  private readonly ids: ReadonlyMap<string, number>;
  /** [byte] id of the byte token, or of the unknown token */
  private readonly byteIds: readonly number[];
  /** Id of a byte token to its byte. */
  private readonly byteOfId = new Map<number, number>();
  private readonly wordsAreIndependent: boolean;
  private readonly cache = new WordCache();
  private readonly utf8 = new TextEncoder();

  /** @throws FormatError without scores, or when a byte has neither a token nor an unknown token */
  constructor(vocabulary: GgufVocabulary) {
    if (vocabulary.scores === undefined) {
      throw new FormatError(
        `${vocabulary.name}: no tokenizer.ggml.scores, expected the scores of a llama vocabulary, got none - ` +
          "convert the model again",
      );
    }
    this.scores = vocabulary.scores;
    this.tokens = vocabulary.tokens;
    this.closingId = vocabulary.eosId;
    this.addSpacePrefix = vocabulary.addSpacePrefix ?? true;
    this.ids = textIds(vocabulary, TOKEN_TYPE.byte);
    this.wordsAreIndependent = ![...this.ids.keys()].some((token) => SPACE_INSIDE.test(token));
    vocabulary.tokens.forEach((token, id) => {
      const byte = vocabulary.types[id] === TOKEN_TYPE.byte ? byteOfToken(token) : undefined;
      if (byte !== undefined) this.byteOfId.set(id, byte);
    });
    this.byteIds = this.collectByteIds(vocabulary);
  }

  encode(text: string, ids: number[]): void {
    const escaped = text.replaceAll(" ", SPACE_SYMBOL);
    const words = this.wordsAreIndependent ? (escaped.match(WORDS) ?? []) : [escaped];
    for (const word of words) {
      for (const id of this.cache.get(word, this.encodeWord)) ids.push(id);
    }
  }

  piece(id: number, atStart: boolean): Uint8Array {
    const byte = this.byteOfId.get(id);
    if (byte !== undefined) return Uint8Array.of(byte);
    const bytes = this.utf8.encode((this.tokens[id] ?? "").replaceAll(SPACE_SYMBOL, " "));
    return atStart && this.addSpacePrefix && bytes[0] === SPACE_BYTE ? bytes.subarray(1) : bytes;
  }

  private readonly encodeWord = (word: string): number[] => {
    const characters: number[] = [];
    for (let i = 0; i < word.length; ) {
      characters.push(i);
      i += word.codePointAt(i)! > 0xffff ? 2 : 1;
    }
    const starts = mergeSymbols(characters, word.length, (start, _, end) => {
      const id = this.ids.get(word.slice(start, end));
      return id === undefined ? Number.POSITIVE_INFINITY : -this.scores[id];
    });
    return starts.flatMap((start, i) => {
      const symbol = word.slice(start, starts[i + 1] ?? word.length);
      const id = this.ids.get(symbol);
      return id === undefined ? this.bytesOf(symbol) : [id];
    });
  };

  private bytesOf(symbol: string): number[] {
    return Array.from(this.utf8.encode(symbol), (byte) => this.byteIds[byte]);
  }

  private collectByteIds(vocabulary: GgufVocabulary): number[] {
    const found = new Array<number | undefined>(BYTE_COUNT).fill(vocabulary.unknownId);
    for (const [id, byte] of this.byteOfId) found[byte] = id;
    const missing = found.indexOf(undefined);
    if (missing >= 0) {
      throw new FormatError(
        `${vocabulary.name}: no token for byte ${missing}, expected 256 byte tokens or an unknown token, got ` +
          `${this.byteOfId.size} byte tokens - convert the model again`,
      );
    }
    return found as number[];
  }
}
