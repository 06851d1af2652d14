/**
 * Texts to token streams for training, fast enough for corpora of some 100 MB: where a tokenizer encodes
 * words by themselves (byte-level BPE behind GPT-2's pattern), each distinct word is encoded once. Documents,
 * which a text separates by the tokenizer's own end token, are each followed by that token.
 * Invariant: the same ids as encoding every document at once.
 */
import { FormatError } from "../errors.ts";
import type { Json, JsonObject, ModelFile } from "../formats/model-file.ts";
import { findPreTokenizer, splitWords } from "../tokenizer/pre-tokenizers.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

const PLAIN = { addSpecial: false, parseSpecial: false };

export class CorpusEncoder {
  readonly #tokenizer: Tokenizer;
  /** Ids of words seen so far; undefined where words cannot be encoded alone. */
  readonly #words: Map<string, readonly number[]> | undefined;
  readonly #patterns = findPreTokenizer("gpt-2").patterns;
  readonly endId: number;

  /** Throws FormatError when the tokenizer has no end token. */
  static async create(tokenizer: Tokenizer, file: ModelFile): Promise<CorpusEncoder> {
    const json = file.container === "huggingface" ? await file.readTokenizer() : undefined;
    return new CorpusEncoder(tokenizer, json !== undefined && encodesWords(json));
  }

  private constructor(tokenizer: Tokenizer, byWords: boolean) {
    if (tokenizer.eosId === undefined) {
      throw new FormatError("tokenizer: no end-of-text token, expected one to put between documents");
    }
    this.#tokenizer = tokenizer;
    this.#words = byWords ? new Map() : undefined;
    this.endId = tokenizer.eosId;
  }

  /** Ids of a text without control tokens around it. */
  encode(text: string): number[] {
    const words = this.#words;
    if (words === undefined) return this.#tokenizer.encode(text, PLAIN);
    const ids: number[] = [];
    for (const word of splitWords(text, this.#patterns)) {
      let known = words.get(word);
      if (known === undefined) {
        known = this.#tokenizer.encode(word, PLAIN);
        words.set(word, known);
      }
      for (const id of known) ids.push(id);
    }
    return ids;
  }

  /** All documents of a text, each with the end token before it and the last one followed by it. */
  encodeDocuments(text: string): Int32Array {
    const separator = this.#tokenizer.tokenText(this.endId);
    const documents = separator === undefined ? [text] : text.split(separator);
    const parts = documents
      .map((document) => this.encode(document.trim()))
      .filter(({ length }) => length > 0);
    const tokens = new Int32Array(parts.reduce((sum, { length }) => sum + length + 1, 1));
    let at = 0;
    for (const part of parts) {
      tokens[at++] = this.endId;
      tokens.set(part, at);
      at += part.length;
    }
    tokens[at] = this.endId;
    return tokens;
  }
}

/** Whether tokenizer.json cuts raw text with GPT-2's pattern and encodes each piece by itself. */
function encodesWords(json: JsonObject): boolean {
  const part = (value: Json | undefined) => value as JsonObject | null | undefined;
  const preTokenizer = part(json.pre_tokenizer);
  return (
    (json.normalizer === null || json.normalizer === undefined) &&
    preTokenizer?.type === "ByteLevel" &&
    preTokenizer.add_prefix_space === false &&
    preTokenizer.use_regex !== false &&
    part(json.model)?.type === "BPE"
  );
}
