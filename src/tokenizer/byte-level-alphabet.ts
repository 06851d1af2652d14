/**
 * The byte-level alphabet of GPT-2 (Radford et al. 2019, `bytes_to_unicode`): a bijection between the
 * 256 bytes and 256 printable characters, so that a BPE over text can represent any byte string
 * without unknown tokens. Printable Latin-1 bytes stand for themselves, the other 68 are moved to
 * U+0100 and up in byte order.
 * Invariant: every character is one UTF-16 unit, so string indices count bytes.
 */

const FIRST_MOVED_CHARACTER = 0x100;

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

function buildAlphabet(): readonly string[] {
  let moved = FIRST_MOVED_CHARACTER;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : moved++));
}

/** The character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = buildAlphabet();

const BYTE_OF_CHARACTER: ReadonlyMap<number, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character.charCodeAt(0), byte]),
);

/** Writes bytes in the alphabet: one character per byte. */
export function toByteCharacters(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BYTE_CHARACTERS[byte];
  return text;
}

/** Reads a vocabulary entry back into bytes; undefined when it holds a character outside the alphabet. */
export function fromByteCharacters(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(text.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
