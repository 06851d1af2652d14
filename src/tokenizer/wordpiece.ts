/**
 * WordPiece as in BERT (Devlin et al. 2018, section 3 and its reference tokenizer), for GGUF vocabularies of
 * model `bert`: clean, lower-case and strip accents, cut at spaces, punctuation and CJK characters, then take
 * the longest token again and again. GGUF writes a word's first piece with a leading U+2581 and continuations
 * bare, where vocab.txt has `##`. Invariant: a word that cannot be covered is one unknown token.
 */
import { FormatError } from "../errors.ts";
import { type GgufVocabulary, textIds } from "./gguf-vocabulary.ts";
import { SPACE_SYMBOL, type SubwordModel } from "./subword-model.ts";
import { WordCache } from "./word-cache.ts";

/** Dropped from the text: NUL, U+FFFD and the category Other; spaces among them were cut at before. */
const DROPPED = /[\0\uFFFD\p{C}]/gu;
const COMBINING_MARKS = /\p{Mn}/gu;
const IDEOGRAPHS =
  "\\u4E00-\\u9FFF\\u3400-\\u4DBF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}\\u{2B740}-\\u{2B81F}\\u{2B920}-\\u{2CEAF}" +
  "\\uF900-\\uFAFF\\u{2F800}-\\u{2FA1F}";
/** Characters that are words by themselves: punctuation, ASCII symbols, ideographs. */
const SINGLE = `\\p{P}$+<=>^\`|~${IDEOGRAPHS}`;
const WORDS = new RegExp(`[${SINGLE}]|[^\\s${SINGLE}]+`, "gu");
/** BERT's `max_input_chars_per_word`: longer words are one unknown token. */
const MAXIMUM_WORD_CHARACTERS = 100;
const SPACE_BYTE = 0x20;

export class WordPiece implements SubwordModel {
  readonly kind = "wordpiece";
  readonly addBos = true;
  readonly addEos = true;
  readonly closingId: number | undefined;
  readonly addSpacePrefix = false;
  private readonly tokens: readonly string[];
  private readonly unknownId: number;
  private readonly ids: ReadonlyMap<string, number>;
  private readonly longestToken: number;
  private readonly cache = new WordCache();
  private readonly utf8 = new TextEncoder();

  /** @throws FormatError when the vocabulary has no unknown token */
  constructor(vocabulary: GgufVocabulary) {
    if (vocabulary.unknownId === undefined) {
      throw new FormatError(
        `${vocabulary.name}: no tokenizer.ggml.unknown_token_id, expected the id of [UNK], got none - convert the ` +
          "model again",
      );
    }
    this.unknownId = vocabulary.unknownId;
    this.closingId = vocabulary.separatorId ?? vocabulary.eosId;
    this.tokens = vocabulary.tokens;
    this.ids = textIds(vocabulary);
    this.longestToken = [...this.ids.keys()].reduce((most, token) => Math.max(most, token.length), 0);
  }

  encode(text: string, ids: number[]): void {
    const cleaned = text
      .replace(/\s+/gu, " ")
      .replace(DROPPED, "")
      .normalize("NFD")
      .replace(COMBINING_MARKS, "")
      .toLowerCase();
    for (const word of cleaned.match(WORDS) ?? []) {
      for (const id of this.cache.get(word, this.encodeWord)) ids.push(id);
    }
  }

  piece(id: number, atStart: boolean): Uint8Array {
    const bytes = this.utf8.encode((this.tokens[id] ?? "").replaceAll(SPACE_SYMBOL, " "));
    return atStart && bytes[0] === SPACE_BYTE ? bytes.subarray(1) : bytes;
  }

  private readonly encodeWord = (word: string): number[] => {
    if ([...word].length > MAXIMUM_WORD_CHARACTERS) return [this.unknownId];
    const marked = SPACE_SYMBOL + word;
    const ids: number[] = [];
    for (let start = 0; start < marked.length; ) {
      let end = Math.min(marked.length, start + this.longestToken);
      while (end > start && !this.ids.has(marked.slice(start, end))) end--;
      if (end === start) return [this.unknownId];
      ids.push(this.ids.get(marked.slice(start, end))!);
      start = end;
    }
    return ids;
  };
}
