/**
 * IQ4_NL: 32 weights per block, w = d * level[q] with an f16 scale and 4-bit codes of non-linear levels.
 * Layout: d f16 | 16 bytes; byte i holds weight i in its low and weight i + 16 in its high nibble.
 * Source: ggml `block_iq4_nl`, `dequantize_row_iq4_nl`.
 */
import { readFloat16 } from "./float16.ts";
import { IQ4_VALUES } from "./iq4-values.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 18;

/** 4-bit blocks of 32 with non-linear levels. */
export const iq4_nl: WeightFormat = {
  name: "IQ4_NL",
  ggmlType: 20,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_iq4_nl, ggml type 20",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[b + 2 + i];
        values[v + i] = d * IQ4_VALUES[pair & 15];
        values[v + i + 16] = d * IQ4_VALUES[pair >>> 4];
      }
    }
  },
};
