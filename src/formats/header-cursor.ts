/**
 * Sequential little-endian reading of a file's header through a sliding window, so that a header of any size is
 * parsed without knowing its length and without loading the weights behind it. `fill` is the only asynchronous
 * step; all `take` methods are synchronous and read what the last `fill` promised.
 * Invariant: never allocates more than the file still holds.
 */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";

/** Large enough that a 20 MB vocabulary takes few reads, small enough to cost nothing for tiny files. */
const WINDOW_BYTES = 1 << 20;

/** Strings up to this length are tried as ASCII first: a TextDecoder call costs more than a short loop. */
const SHORT_STRING_BYTES = 24;

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
      let text = "";
      let i = start;
      for (; i < end && this.#window[i] < 0x80; i++) text += String.fromCharCode(this.#window[i]);
      if (i === end) return text;
    }
    try {
      return this.#decoder.decode(this.#window.subarray(start, end));
    } catch (cause) {
      throw new FormatError(`${this.source.name}: ${what} is not valid UTF-8 - the file is damaged`, {
        cause,
      });
    }
  }

  #advance(bytes: number): number {
    const at = this.#position;
    this.#position = at + bytes;
    return at;
  }
}
