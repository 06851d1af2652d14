/**
 * F16: little-endian IEEE 754 half precision, one value per block.
 * Source: GGUF specification (ggml type 1); safetensors dtype "F16".
 */
import { decodeFloat16, encodeFloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

/** 16-bit IEEE floats; encoding rounds to nearest even. */
export const f16: WeightFormat = {
  name: "F16",
  ggmlType: 1,
  blockSize: 1,
  blockBytes: 2,
  source: "GGUF specification, ggml type 1; safetensors F16",
  decode: decodeFloat16,
  encode: encodeFloat16,
};
