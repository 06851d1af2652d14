/**
 * BF16: the upper 16 bits of an f32, little-endian, one value per block.
 * Source: GGUF specification (ggml type 30); safetensors dtype "BF16".
 */
import { decodeBfloat16, encodeBfloat16 } from "./float16.ts";
import type { WeightFormat } from "./weight-format.ts";

/** bfloat16; encoding rounds to nearest even. */
export const bf16: WeightFormat = {
  name: "BF16",
  ggmlType: 30,
  blockSize: 1,
  blockBytes: 2,
  source: "GGUF specification, ggml type 30; safetensors BF16",
  decode: decodeBfloat16,
  encode: encodeBfloat16,
};
