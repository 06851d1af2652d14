/**
 * Q4_1: 32 weights per block, w = d * q + m with f16 scale and minimum and 4-bit q.
 * Layout: d f16 | m f16 | 16 bytes; byte i holds weight i in its low and weight i + 16 in its high nibble.
 * Source: ggml `block_q4_1`, `quantize_row_q4_1_ref`. Invariant: encode equals ggml's reference bit for bit.
 */
import { blockRange } from "./block-range.ts";
import { readFloat16, writeFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 20;
const fround = Math.fround;

/** 4-bit blocks of 32 with f16 scale and minimum. */
export const q4_1: WeightFormat = {
  name: "Q4_1",
  ggmlType: 3,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q4_1, ggml type 3",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      const m = readFloat16(bytes, b + 2);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[b + 4 + i];
        values[v + i] = d * (pair & 15) + m;
        values[v + i + 16] = d * (pair >>> 4) + m;
      }
    }
  },
  encode(values, bytes) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const { least, most } = blockRange(values, v, BLOCK);
      const d = fround(fround(most - least) / 15);
      const inverse = d === 0 ? 0 : fround(1 / d);
      writeFloat16(d, bytes, b);
      writeFloat16(least, bytes, b + 2);
      for (let i = 0; i < 16; i++) {
        const low = quantize(values[v + i], least, inverse);
        const high = quantize(values[v + i + 16], least, inverse);
        bytes[b + 4 + i] = low | (high << 4);
      }
    }
  },
};

function quantize(value: number, least: number, inverse: number): number {
  return Math.min(15, Math.trunc(fround(fround(fround(value - least) * inverse) + 0.5)));
}
