/**
 * Q2_K: 256 weights in 16 groups of 16, w = d * scale * q - dmin * min
 * with 4-bit scale and min per group, 2-bit q.
 * Layout: 16 bytes (scale low, min high nibble) | 64 bytes of q | d f16 | dmin f16. Byte l of each half of 32
 * holds weights l, l + 32, l + 64, l + 96 of its 128 weights, lowest bits first.
 * Source: ggml `block_q2_K`, `dequantize_row_q2_K`.
 */
import { readFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 84;

/** 2-bit super-blocks of 256. */
export const q2_k: WeightFormat = {
  name: "Q2_K",
  ggmlType: 10,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q2_K, ggml type 10",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b + 80);
      const dmin = readFloat16(bytes, b + 82);
      for (let group = 0; group < 16; group++) {
        const scale = d * (bytes[b + group] & 15);
        const min = dmin * (bytes[b + group] >>> 4);
        const quants = b + 16 + (group >>> 3) * 32 + (group & 1) * 16;
        const shift = ((group >>> 1) & 3) * 2;
        for (let i = 0; i < 16; i++) {
          values[v + group * 16 + i] = scale * ((bytes[quants + i] >>> shift) & 3) - min;
        }
      }
    }
  },
};
