/**
 * F32: plain little-endian IEEE 754 single precision, one value per block.
 * Source: GGUF specification (ggml type 0); safetensors dtype "F32".
 */
import type { WeightFormat } from "./weight-format.ts";

/** 32-bit floats; decode and encode are copies. */
export const f32: WeightFormat = {
  name: "F32",
  ggmlType: 0,
  blockSize: 1,
  blockBytes: 4,
  source: "GGUF specification, ggml type 0; safetensors F32",
  decode(bytes, values) {
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(
      bytes.subarray(0, values.byteLength),
    );
  },
  encode(values, bytes) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  },
};
