/**
 * Q4_K: 256 weights in 8 groups of 32, w = d * scale * q - dmin * min
 * with 6-bit scale and min per group, 4-bit q.
 * Layout: d f16 | dmin f16 | 12 bytes of scales | 128 bytes; each run of 32 bytes holds a group in its low
 * and the next group in its high nibbles.
 * Source: ggml `block_q4_K`, `dequantize_row_q4_K`.
 */
import { readFloat16 } from "./float16.ts";
import { groupMin, groupScale } from "./k-scales.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 144;

/** 4-bit super-blocks of 256. */
export const q4_k: WeightFormat = {
  name: "Q4_K",
  ggmlType: 12,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q4_K, ggml type 12",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      const dmin = readFloat16(bytes, b + 2);
      for (let group = 0; group < 8; group++) {
        const scale = d * groupScale(bytes, b + 4, group);
        const min = dmin * groupMin(bytes, b + 4, group);
        const quants = b + 16 + (group >>> 1) * 32;
        const shift = (group & 1) * 4;
        for (let i = 0; i < 32; i++) {
          values[v + group * 32 + i] = scale * ((bytes[quants + i] >>> shift) & 15) - min;
        }
      }
    }
  },
};
