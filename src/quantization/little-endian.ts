/**
 * Unaligned little-endian integers inside weight blocks, whose fields lie at odd offsets.
 * Source: ggml stores all block fields little-endian. Invariant: results are signed 32-bit bit patterns, to
 * be used with bit operations only.
 */

/** The 32 bits at `offset`. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) | (bytes[offset + 3] << 24);
}

/** Stores 32 bits at `offset`. */
export function writeUint32(value: number, bytes: Uint8Array, offset: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}
