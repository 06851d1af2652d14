/**
 * Q6_K: 256 weights in 16 groups of 16, w = d * scale * (q - 32)
 * with signed 8-bit scale per group and 6-bit q.
 * Layout: ql 128 bytes (low four bits) | qh 64 bytes (upper two) | scales int8[16] | d f16. Of each
 * half of 128 weights, run r of 32 takes nibble r / 2 of ql bytes 32 (r % 2) to 32 (r % 2) + 31 and
 * bits 2 r of the 32 qh bytes.
 * Source: ggml `block_q6_K`, `dequantize_row_q6_K`.
 */
import { readFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 210;
const HIGH = 128;
const SCALES = 192;

/** 6-bit super-blocks of 256. */
export const q6_k: WeightFormat = {
  name: "Q6_K",
  ggmlType: 14,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q6_K, ggml type 14",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b + 208);
      for (let group = 0; group < 16; group++) {
        const scale = d * ((bytes[b + SCALES + group] << 24) >> 24);
        const half = group >>> 3;
        const run = (group >>> 1) & 3;
        const within = (group & 1) * 16;
        const low = b + half * 64 + (run & 1) * 32 + within;
        const high = b + HIGH + half * 32 + within;
        for (let i = 0; i < 16; i++) {
          const nibble = (bytes[low + i] >>> ((run >>> 1) * 4)) & 15;
          const upper = (bytes[high + i] >>> (run * 2)) & 3;
          values[v + group * 16 + i] = scale * ((nibble | (upper << 4)) - 32);
        }
      }
    }
  },
};
