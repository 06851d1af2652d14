/**
 * What a tokenizer owes the session. Implementations: tokenizer.json (through @huggingface/tokenizers) and
 * the vocabularies embedded in GGUF files.
 */

export interface EncodeOptions {
  /** Add BOS / EOS where the model's configuration says so. */
  readonly addSpecial: boolean;
  /**
   * Recognise control tokens written out in the text, e.g. `<|im_end|>`; false treats them as ordinary text.
   */
  readonly parseSpecial: boolean;
}

/** Turns a stream of ids into text without ever emitting half a UTF-8 character. */
export interface IncrementalDecoder {
  /** The text that became complete with this id, possibly empty. */
  push(id: number): string;
  /** What is still buffered; incomplete bytes become U+FFFD. */
  end(): string;
}

export interface Tokenizer {
  /** Kind for `inspect`, e.g. `bpe (llama-bpe)`, `sentencepiece`, `wordpiece`. */
  readonly kind: string;
  readonly vocabularySize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** All ids that end a generation (EOS, end of turn, ...). */
  readonly endIds: ReadonlySet<number>;
  encode(text: string, options: EncodeOptions): number[];
  /** Text of all ids at once; control tokens are rendered only with `special`. */
  decode(ids: readonly number[], options?: { readonly special?: boolean }): string;
  /**
   * Starts a text of its own: SentencePiece drops the space before its first word. To continue a text, push
   * the ids of what comes before and discard what they return.
   */
  decoder(options?: { readonly special?: boolean }): IncrementalDecoder;
  /** The vocabulary entry as stored, for `tokenize` and logprobs; undefined for ids out of range. */
  tokenText(id: number): string | undefined;
}
