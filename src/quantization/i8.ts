/**
 * I8: signed bytes without a scale, the codes of an integer-quantized matrix. Source: safetensors dtype I8.
 * Invariant: values are whole numbers from -128 to 127;
 * what they stand for is known only to the recipe that wrote them.
 */
import type { WeightFormat } from "./weight-format.ts";

/** One code per byte. */
export const i8: WeightFormat = {
  name: "I8",
  ggmlType: undefined,
  blockSize: 1,
  blockBytes: 1,
  source: "safetensors dtype I8",
  codes: true,
  decode(bytes, values) {
    for (let i = 0; i < values.length; i++) values[i] = (bytes[i] << 24) >> 24;
  },
  encode(values, bytes) {
    for (let i = 0; i < values.length; i++) bytes[i] = values[i];
  },
};
