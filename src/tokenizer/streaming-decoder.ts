/**
 * Turns token ids into text one at a time, at constant cost per token. Tokens are byte strings; a streaming
 * UTF-8 decoder (WHATWG Encoding, section 6.1: a maximal ill-formed subsequence becomes one U+FFFD) holds
 * back the bytes of an unfinished character. Invariant: the pieces pushed, then the end, joined are the text
 * of all ids at once, because `decodeAll` is this same loop.
 */
import type { IncrementalDecoder } from "./tokenizer.ts";

/** What a vocabulary knows about its tokens as text. Ids without an entry have no text. */
export interface PieceSource {
  /**
   * UTF-8 bytes of a token, not necessarily whole characters. `atStart` tells that no text precedes it, where
   * SentencePiece drops the space that its encoder put there.
   */
  piece(id: number, atStart: boolean): Uint8Array;
  /** Control tokens are rendered only on request. */
  isControl(id: number): boolean;
  /** The encoder starts afresh after this token, so text after it is at a start again. */
  restartsText(id: number): boolean;
}

export class StreamingDecoder implements IncrementalDecoder {
  private readonly source: PieceSource;
  private readonly special: boolean;
  // ignoreBOM keeps U+FEFF, which is text here.
  private readonly utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  private atStart = true;

  constructor(source: PieceSource, special: boolean) {
    this.source = source;
    this.special = special;
  }

  push(id: number): string {
    let text = "";
    if (this.special || !this.source.isControl(id)) {
      text = this.utf8.decode(this.source.piece(id, this.atStart), { stream: true });
      this.atStart = false;
    }
    if (this.source.restartsText(id)) this.atStart = true;
    return text;
  }

  end(): string {
    this.atStart = true;
    return this.utf8.decode();
  }
}

/** The text of a whole sequence of ids. */
export function decodeAll(source: PieceSource, ids: readonly number[], special: boolean): string {
  const decoder = new StreamingDecoder(source, special);
  const pieces = ids.map((id) => decoder.push(id));
  return pieces.join("") + decoder.end();
}
