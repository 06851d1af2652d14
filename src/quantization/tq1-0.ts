/**
 * TQ1_0: 256 ternary weights, w = d * (t - 1); five base-3 digits per byte, four in the last four bytes. A
 * byte stores its digits as a fraction of 3^5 scaled to 256, so that multiplying by 3^n modulo 256 brings
 * digit n to the top, where a further multiplication by 3 carries it out.
 * Layout: 48 bytes | 4 bytes | d f16. Digit n of a run of bytes is weights [n * run, n * run + run) after
 * those of the runs before; runs are 32, 16 and 4 bytes.
 * Source: ggml `block_tq1_0`, `dequantize_row_tq1_0`.
 */
import { readFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

const BLOCK = 256;
const BYTES = 54;
const RUNS = [
  { start: 0, length: 32, digits: 5 },
  { start: 32, length: 16, digits: 5 },
  { start: 48, length: 4, digits: 4 },
];
const POWERS_OF_3 = [1, 3, 9, 27, 81];

/** Ternary super-blocks of 256 at 1.6875 bits. */
export const tq1_0: WeightFormat = {
  name: "TQ1_0",
  ggmlType: 34,
  blockSize: BLOCK,
  blockBytes: BYTES,
  source: "ggml block_tq1_0, ggml type 34",
  decode(bytes, values) {
    for (let v = 0, b = 0; v < values.length; v += BLOCK, b += BYTES) {
      const d = readFloat16(bytes, b + 52);
      let out = v;
      for (const { start, length, digits } of RUNS) {
        for (let digit = 0; digit < digits; digit++) {
          for (let i = 0; i < length; i++) {
            const shifted = (bytes[b + start + i] * POWERS_OF_3[digit]) & 255;
            values[out++] = d * (((shifted * 3) >>> 8) - 1);
          }
        }
      }
    }
  },
};
