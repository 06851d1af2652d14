/**
 * Q8_0: 32 weights per block, w = d * q with an f16 scale and signed bytes.
 * Layout: d f16 | q int8[32]. Source: ggml `block_q8_0` (ggml-common.h),
 * `quantize_row_q8_0_ref` (ggml-quants.c).
 * Invariant: encode equals ggml's reference bit for bit; it works in f32,
 * so every step is rounded with fround.
 */
import { readFloat16, writeFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 32;
const BYTES = 34;
const fround = Math.fround;

/** 8-bit blocks of 32 with an f16 scale. */
export const q8_0: WeightFormat = {
  name: "Q8_0",
  ggmlType: 8,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_q8_0, ggml type 8",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b);
      for (let i = 0; i < BLOCK; i++) values[v + i] = d * ((bytes[b + 2 + i] << 24) >> 24);
    }
  },
  encode(values, bytes) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      let largest = 0;
      for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(values[v + i]));
      const d = fround(largest / 127);
      const inverse = d === 0 ? 0 : fround(1 / d);
      writeFloat16(d, bytes, b);
      for (let i = 0; i < BLOCK; i++) {
        bytes[b + 2 + i] = roundHalfAwayFromZero(fround(values[v + i] * inverse));
      }
    }
  },
};

/** C's roundf. Exact: adding 0.5 to a value of at most 127 cannot round in double precision. */
function roundHalfAwayFromZero(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
}
