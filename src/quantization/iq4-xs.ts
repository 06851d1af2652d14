/**
 * IQ4_XS: 256 weights in 8 groups of 32, w = d * (scale - 32) * level[q] with 6-bit scale per group.
 * Layout: d f16 | u16 with the upper two bits of the eight scales | 4 bytes with their low nibbles | 128
 * bytes; 16 bytes per group, weight i in the low and weight i + 16 in the high nibble of byte i.
 * Source: ggml `block_iq4_xs`, `dequantize_row_iq4_xs`.
 */
import { readFloat16 } from "./float16.ts";
import { IQ4_VALUES } from "./iq4-values.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 136;

/** 4-bit super-blocks of 256 with non-linear levels. */
export const iq4_xs: WeightFormat = {
  name: "IQ4_XS",
  ggmlType: 23,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_iq4_xs, ggml type 23",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      const upper = bytes[b + 2] | (bytes[b + 3] << 8);
      for (let group = 0; group < 8; group++) {
        const low = (bytes[b + 4 + (group >>> 1)] >>> ((group & 1) * 4)) & 15;
        const scale = d * ((low | (((upper >>> (group * 2)) & 3) << 4)) - 32);
        const quants = b + 8 + group * 16;
        const first = v + group * 32;
        for (let i = 0; i < 16; i++) {
          const pair = bytes[quants + i];
          values[first + i] = scale * IQ4_VALUES[pair & 15];
          values[first + i + 16] = scale * IQ4_VALUES[pair >>> 4];
        }
      }
    }
  },
};
