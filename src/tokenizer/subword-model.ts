/**
 * What an algorithm that cuts text into subwords owes the GGUF tokenizer around it, which deals with special
 * tokens, BOS / EOS and streaming. One file per algorithm implements it.
 */

/** SentencePiece's stand-in for a space. */
export const SPACE_SYMBOL = "\u2581";
/**
 * Source of an expression for a run of SPACE_SYMBOL with the word after it. Where no token matches
 * SPACE_INSIDE, such words are encoded independently of each other.
 */
export const SPACED_WORD = `${SPACE_SYMBOL}*[^${SPACE_SYMBOL}]+|${SPACE_SYMBOL}+`;
/** A token with a space after another character. */
export const SPACE_INSIDE = new RegExp(`[^${SPACE_SYMBOL}]${SPACE_SYMBOL}`);

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte that a token like `<0x0A>` stands for. */
export function byteOfToken(token: string): number | undefined {
  const match = BYTE_TOKEN.exec(token);
  return match === null ? undefined : Number.parseInt(match[1], 16);
}

export interface SubwordModel {
  /** For `inspect`, e.g. `bpe (llama-bpe)`. */
  readonly kind: string;
  /** Whether BOS / EOS are added when the file does not say. */
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Added after the text; BERT closes with [SEP], the others with EOS. */
  readonly closingId: number | undefined;
  /** A space is put before each stretch of text, and taken away again on decoding. */
  readonly addSpacePrefix: boolean;
  /** Appends the ids of a stretch of text without special tokens. */
  encode(text: string, ids: number[]): void;
  /** UTF-8 bytes of an ordinary token; see PieceSource. */
  piece(id: number, atStart: boolean): Uint8Array;
}
