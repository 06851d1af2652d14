/**
 * Q5_0: 32 weights per block, w = d * (q - 16) with an f16 scale and 5-bit q.
 * Layout: d f16 | qh u32, bit i = fifth bit of weight i | 16 bytes; byte i holds the low four bits of weight
 * i in its low and of weight i + 16 in its high nibble.
 * Source: ggml `block_q5_0`, `quantize_row_q5_0_ref`. Invariant: encode equals ggml's reference bit for bit.
 */
import { signedExtreme } from "./block-range.ts";
import { readFloat16, writeFloat16 } from "./float16.ts";
import { readUint32, writeUint32 } from "./little-endian.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 22;
const fround = Math.fround;

/** 5-bit blocks of 32 with an f16 scale, symmetric. */
export const q5_0: WeightFormat = {
  name: "Q5_0",
  ggmlType: 6,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q5_0, ggml type 6",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      const high = readUint32(bytes, b + 2);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[b + 6 + i];
        values[v + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
        values[v + i + 16] = d * (((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
      }
    }
  },
  encode(values, bytes) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = fround(signedExtreme(values, v, BLOCK) / -16);
      const inverse = d === 0 ? 0 : fround(1 / d);
      writeFloat16(d, bytes, b);
      let fifthBits = 0;
      for (let i = 0; i < 16; i++) {
        const low = quantize(values[v + i], inverse);
        const high = quantize(values[v + i + 16], inverse);
        bytes[b + 6 + i] = (low & 15) | ((high & 15) << 4);
        fifthBits |= ((low >>> 4) << i) | ((high >>> 4) << (i + 16));
      }
      writeUint32(fifthBits, bytes, b + 2);
    }
  },
};

function quantize(value: number, inverse: number): number {
  return Math.min(31, Math.trunc(fround(fround(value * inverse) + 16.5)));
}
