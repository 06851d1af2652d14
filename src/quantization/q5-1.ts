/**
 * Q5_1: 32 weights per block, w = d * q + m with f16 scale and minimum and 5-bit q.
 * Layout: d f16 | m f16 | qh u32, bit i = fifth bit of weight i | 16 bytes; byte i holds the low four bits of
 * weight i in its low and of weight i + 16 in its high nibble.
 * Source: ggml `block_q5_1`, `quantize_row_q5_1_ref`. Invariant: encode equals ggml's reference bit for bit.
 */
import { blockRange } from "./block-range.ts";
import { readFloat16, writeFloat16 } from "./float16.ts";
import { readUint32, writeUint32 } from "./little-endian.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 24;
const fround = Math.fround;

/** 5-bit blocks of 32 with f16 scale and minimum. */
export const q5_1: WeightFormat = {
  name: "Q5_1",
  ggmlType: 7,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q5_1, ggml type 7",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      const m = readFloat16(bytes, b + 2);
      const high = readUint32(bytes, b + 4);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[b + 8 + i];
        values[v + i] = d * ((pair & 15) | (((high >>> i) & 1) << 4)) + m;
        values[v + i + 16] = d * ((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
      }
    }
  },
  encode(values, bytes) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const { least, most } = blockRange(values, v, BLOCK);
      const d = fround(fround(most - least) / 31);
      const inverse = d === 0 ? 0 : fround(1 / d);
      writeFloat16(d, bytes, b);
      writeFloat16(least, bytes, b + 2);
      let fifthBits = 0;
      for (let i = 0; i < 16; i++) {
        const low = quantize(values[v + i], least, inverse);
        const high = quantize(values[v + i + 16], least, inverse);
        bytes[b + 8 + i] = (low & 15) | ((high & 15) << 4);
        fifthBits |= ((low >>> 4) << i) | ((high >>> 4) << (i + 16));
      }
      writeUint32(fifthBits, bytes, b + 4);
    }
  },
};

function quantize(value: number, least: number, inverse: number): number {
  return Math.trunc(fround(fround(fround(value - least) * inverse) + 0.5));
}
