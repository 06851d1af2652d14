/**
 * Sequential little-endian reading of a file's header through a sliding window, so that a header of any size
 * is parsed without knowing its length and without loading the weights behind it. `fill` is the only
 * asynchronous step; all `take` methods are synchronous and read what the last `fill` promised.
 * Invariant: never allocates more than the file still holds.
 */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";

/** Large enough that a 20 MB vocabulary takes few reads, small enough to cost nothing for tiny files. */
const WINDOW_BYTES = 1 << 20;

/**
 * Strings up to this length are decoded by a loop first: a vocabulary has 200,000,
 * and TextDecoder is slow to start.
 */
const SHORT_STRING_BYTES = 48;

export class HeaderCursor {
  readonly source: ByteSource;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view: DataView = new DataView(this.#window.buffer);
  #windowOffset = 0;
  #position = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Position in the file. */
  get offset(): number {
    return this.#windowOffset + this.#position;
  }

  /** Bytes that can be taken without another fill. */
  get buffered(): number {
    return this.#window.length - this.#position;
  }

  /** Bytes from here to the end of the file. */
  get remaining(): number {
    return this.source.size - this.offset;
  }

  /** Makes at least `bytes` bytes available; FormatError when the file ends before them. */
  async fill(bytes: number, what: string): Promise<void> {
    if (this.buffered >= bytes) return;
    if (bytes > this.remaining) {
      throw new FormatError(
        `${this.source.name}: truncated in ${what}, expected ${bytes} bytes at ${this.offset}, got ${this.remaining} - download it again`,
      );
    }
    const offset = this.offset;
    const window = new Uint8Array(Math.min(Math.max(bytes, WINDOW_BYTES), this.remaining));
    const kept = this.#window.subarray(this.#position);
    window.set(kept);
    await this.source.readInto(offset + kept.length, window.subarray(kept.length));
    this.#window = window;
    this.#view = new DataView(window.buffer);
    this.#windowOffset = offset;
    this.#position = 0;
  }

  takeUint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  takeInt8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  takeUint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  takeInt16(): number {
    return this.#view.getInt16(this.#advance(2), true);
  }

  takeUint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  takeInt32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  takeFloat32(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  takeFloat64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  takeUint64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  takeInt64(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  /** A 64-bit count or offset as a number: exact below 2^53, and above it still larger than every limit. */
  takeCount(): number {
    const at = this.#advance(8);
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  /** `bytes` bytes of UTF-8; FormatError when they are not valid UTF-8. */
  takeText(bytes: number, what: string): string {
    const start = this.#advance(bytes);
    const end = start + bytes;
    if (bytes <= SHORT_STRING_BYTES) {
      const text = decodeShort(this.#window, start, end);
      if (text !== undefined) return text;
    }
    try {
      return this.#decoder.decode(this.#window.subarray(start, end));
    } catch (cause) {
      throw new FormatError(`${this.source.name}: ${what} is not valid UTF-8 - the file is damaged`, {
        cause,
      });
    }
  }

  /** A string after its 64-bit length, undefined (and nothing taken) when it is not buffered as a whole. */
  takeBufferedString(what: string): string | undefined {
    const start = this.#position;
    if (this.buffered < 8) return undefined;
    const bytes = this.takeCount();
    if (bytes <= this.buffered) return this.takeText(bytes, what);
    this.#position = start;
    return undefined;
  }

  #advance(bytes: number): number {
    const at = this.#position;
    this.#position = at + bytes;
    return at;
  }
}

/**
 * UTF-8 of one to three bytes per character, which is nearly every token of nearly every vocabulary;
 * undefined for all else, valid or not, which TextDecoder then judges.
 */
function decodeShort(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  for (let i = start; i < end; ) {
    const lead = bytes[i];
    if (lead < 0x80) {
      text += String.fromCharCode(lead);
      i += 1;
    } else if (lead >= 0xc2 && lead < 0xe0 && i + 1 < end && isContinuation(bytes[i + 1])) {
      text += String.fromCharCode(((lead & 0x1f) << 6) | (bytes[i + 1] & 0x3f));
      i += 2;
    } else if (lead >= 0xe0 && lead < 0xf0 && i + 2 < end) {
      const code = ((lead & 0x0f) << 12) | ((bytes[i + 1] & 0x3f) << 6) | (bytes[i + 2] & 0x3f);
      const isSurrogate = code >= 0xd800 && code < 0xe000;
      if (code < 0x800 || isSurrogate || !isContinuation(bytes[i + 1]) || !isContinuation(bytes[i + 2]))
        return undefined;
      text += String.fromCharCode(code);
      i += 3;
    } else {
      return undefined;
    }
  }
  return text;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
