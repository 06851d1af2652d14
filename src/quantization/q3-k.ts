/**
 * Q3_K: 256 weights in 16 groups of 16, w = d * (scale - 32) * (q - 4)
 * with 6-bit scale per group and 3-bit q.
 * Layout: hmask 32 bytes (third bits) | 64 bytes of low two bits | 12 bytes of scales | d f16. Byte l of
 * each half of 32 holds weights l, l + 32, l + 64, l + 96 of its 128 weights; bit k of hmask byte l
 * belongs to weight 32 k + l.
 * Source: ggml `block_q3_K`, `dequantize_row_q3_K`.
 */
import { readFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 110;
const QUANTS = 32;
const SCALES = 96;

/** 3-bit super-blocks of 256. */
export const q3_k: WeightFormat = {
  name: "Q3_K",
  ggmlType: 11,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q3_K, ggml type 11",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b + 108);
      for (let group = 0; group < 16; group++) {
        const scale = d * (groupScale(bytes, b + SCALES, group) - 32);
        const half = (group & 1) * 16;
        const quants = b + QUANTS + (group >>> 3) * 32 + half;
        const shift = ((group >>> 1) & 3) * 2;
        const highBit = group >>> 1;
        for (let i = 0; i < 16; i++) {
          const low = (bytes[quants + i] >>> shift) & 3;
          const high = (bytes[b + half + i] >>> highBit) & 1;
          values[v + group * 16 + i] = scale * (low + high * 4 - 4);
        }
      }
    }
  },
};

/** Low four bits lie in bytes 0 to 7 (groups 8 to 15 in the high nibbles), the upper two in bytes 8 to 11. */
function groupScale(bytes: Uint8Array, offset: number, group: number): number {
  const low = (bytes[offset + (group & 7)] >>> (group < 8 ? 0 : 4)) & 15;
  const high = (bytes[offset + 8 + (group & 3)] >>> ((group >>> 2) * 2)) & 3;
  return low | (high << 4);
}
