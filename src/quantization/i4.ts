/**
 * I4: two signed 4-bit codes per byte, the even column in the low nibble, two's complement. safetensors has
 * no such dtype, so files store it as U8 and name the tensors in their metadata
 * (formats/safetensors-dtypes.ts).
 * Invariant: values are whole numbers from -8 to 7;
 * what they stand for is known only to the recipe that wrote them.
 */
import type { WeightFormat } from "./weight-format.ts";

/** Two codes per byte. */
export const i4: WeightFormat = {
  name: "I4",
  ggmlType: undefined,
  blockSize: 2,
  blockBytes: 1,
  source: "skim, two's complement nibbles, low one first",
  codes: true,
  decode(bytes, values) {
    for (let i = 0, b = 0; i < values.length; i += 2, b++) {
      values[i] = (bytes[b] << 28) >> 28;
      values[i + 1] = (bytes[b] << 24) >> 28;
    }
  },
  encode(values, bytes) {
    for (let i = 0, b = 0; i < values.length; i += 2, b++) {
      bytes[b] = (values[i] & 15) | ((values[i + 1] & 15) << 4);
    }
  },
};
