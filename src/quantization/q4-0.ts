/**
 * Q4_0: 32 weights per block, w = d * (q - 8) with an f16 scale and 4-bit q.
 * Layout: d f16 | 16 bytes; byte i holds weight i in its low and weight i + 16 in its high nibble.
 * Source: ggml `block_q4_0`, `quantize_row_q4_0_ref`. Invariant: encode equals ggml's reference bit for bit.
 */
import { signedExtreme } from "./block-range.ts";
import { readFloat16, writeFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 18;
const fround = Math.fround;

/** 4-bit blocks of 32 with an f16 scale, symmetric. */
export const q4_0: WeightFormat = {
  name: "Q4_0",
  ggmlType: 2,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q4_0, ggml type 2",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[b + 2 + i];
        values[v + i] = d * ((pair & 15) - 8);
        values[v + i + 16] = d * ((pair >>> 4) - 8);
      }
    }
  },
  encode(values, bytes) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      // The scale takes the sign of the extreme value, so that it lands on -8,
      // the end without a mirror image.
      const d = fround(signedExtreme(values, v, BLOCK) / -8);
      const inverse = d === 0 ? 0 : fround(1 / d);
      writeFloat16(d, bytes, b);
      for (let i = 0; i < 16; i++) {
        const low = quantize(values[v + i], inverse);
        const high = quantize(values[v + i + 16], inverse);
        bytes[b + 2 + i] = low | (high << 4);
      }
    }
  },
};

function quantize(value: number, inverse: number): number {
  return Math.min(15, Math.trunc(fround(fround(value * inverse) + 8.5)));
}
