/**
 * How executors keep weights, and which storage a forced one means for each weight: one rule for all
 * executors, so that they can be compared. Vectors (norm weights, biases) are always f32: they are small and
 * sensitive. Matrices take the forced storage; where a row is not whole blocks of 32 the block storages
 * cannot hold it and f16 does, as in ggml's own quantizer.
 */
import { f16 } from "../quantization/f16.ts";
import { f32 } from "../quantization/f32.ts";
import { q4_0 } from "../quantization/q4-0.ts";
import { q8_0 } from "../quantization/q8-0.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";
import type { Weight } from "./program.ts";

export const FORCED_FORMATS = ["f32", "f16", "q8", "q4"] as const;
export type ForcedFormat = (typeof FORCED_FORMATS)[number];

/** What can be asked for: as near to the file's format as kernels exist, or one for all. */
export const WEIGHT_STORAGES = ["auto", ...FORCED_FORMATS] as const;
export type WeightStorage = (typeof WEIGHT_STORAGES)[number];

const FORCED: Readonly<Record<ForcedFormat, WeightFormat>> = { f32, f16, q8: q8_0, q4: q4_0 };

/** The format whose encode and decode give the values an executor computes with. */
export function forcedStorage(weight: Weight, forced: ForcedFormat): WeightFormat {
  if (weight.rows === 1) {
    return f32;
  }
  const format = FORCED[forced];
  return weight.columns % format.blockSize === 0 ? format : f16;
}
