/**
 * TQ2_0: 256 ternary weights in two bits each, w = d * (t - 1).
 * Layout: 64 bytes | d f16. Byte l of each half of 32 holds weights l, l + 32, l + 64,
 * l + 96 of its 128 weights, lowest bits first.
 * Source: ggml `block_tq2_0`, `dequantize_row_tq2_0`.
 */
import { readFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 66;

/** Ternary super-blocks of 256 at 2.0625 bits. */
export const tq2_0: WeightFormat = {
  name: "TQ2_0",
  ggmlType: 35,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_tq2_0, ggml type 35",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b + 64);
      for (let i = 0; i < BLOCK; i++) {
        const byte = bytes[b + (i >>> 7) * 32 + (i & 31)];
        values[v + i] = d * (((byte >>> (((i >>> 5) & 3) * 2)) & 3) - 1);
      }
    }
  },
};
