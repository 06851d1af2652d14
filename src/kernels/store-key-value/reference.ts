/**
 * storeKeyValue: writes each token's key and value into the cache of its sequence slot at its position.
 * The oracle for all other storeKeyValue kernels.
 * Invariant: slots and positions are in range, checked by the executor.
 */
import type { KeyValueFormat } from "../../program/key-value-format.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../quantization/float16.ts";
import { roundToScale } from "../linear/activation-rounding.ts";

const MAX_FLOAT16 = 65504;

/** One layer's keys and values: each [slots, contextLength, width] with width = K * d. */
export interface CacheArrays {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly contextLength: number;
  readonly width: number;
  /** d, a divisor of width */
  readonly headWidth: number;
}

/** What a format keeps of one head's key or value. */
const KEEP: Readonly<Record<KeyValueFormat, (row: Float32Array) => Float32Array>> = {
  f16: (row) => row.map(keptByFloat16),
  f32: (row) => row,
  q8: (row) => roundToScale(row, 127),
};

/** key and value are [T, width]. */
export function storeKeyValue(
  cache: CacheArrays,
  key: Float32Array,
  value: Float32Array,
  slots: Int32Array,
  positions: Int32Array,
  format: KeyValueFormat,
): void {
  const keep = KEEP[format];
  for (let t = 0; t < slots.length; t++) {
    const row = (slots[t] * cache.contextLength + positions[t]) * cache.width;
    for (let i = 0; i < cache.width; i += cache.headWidth) {
      const from = t * cache.width + i;
      cache.keys.set(keep(key.subarray(from, from + cache.headWidth)), row + i);
      cache.values.set(keep(value.subarray(from, from + cache.headWidth)), row + i);
    }
  }
}

/** The nearest f16, the largest finite one for all beyond it. */
function keptByFloat16(value: number): number {
  return float16ToFloat32(float32ToFloat16(Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, value))));
}
