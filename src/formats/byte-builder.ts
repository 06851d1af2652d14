/**
 * A growing little-endian buffer, the writing counterpart of HeaderCursor.
 * Invariants: the buffer doubles, so appending n bytes costs O(n); room is made before the buffer is looked
 * at, because making room may replace it.
 */
export class ByteBuilder {
  readonly #encoder = new TextEncoder();
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view of what was built; valid until the next put. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  putUint8(value: number): void {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  putUint16(value: number): void {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
  }

  putUint32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  putUint64(value: number | bigint): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
  }

  putFloat32(value: number): void {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
  }

  putFloat64(value: number): void {
    const at = this.#grow(8);
    this.#view.setFloat64(at, value, true);
  }

  /** UTF-8 bytes after their 64-bit length, as GGUF stores strings. */
  putString(value: string): void {
    const bytes = this.#encoder.encode(value);
    this.putUint64(bytes.length);
    this.putBytes(bytes);
  }

  putBytes(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Zero bytes up to the next multiple of `alignment`. */
  align(alignment: number): void {
    const at = this.#grow((alignment - (this.#length % alignment)) % alignment);
    this.#bytes.fill(0, at, this.#length);
  }

  #grow(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
