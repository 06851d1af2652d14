/**
 * storeKeyValue: writes each token's key and value into the cache of its sequence slot at its position.
 * The oracle for all other storeKeyValue kernels.
 * Invariant: slots and positions are in range, checked by the executor.
 */

/** One layer's keys and values: each [slots, contextLength, width] with width = K * d. */
export interface CacheArrays {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly contextLength: number;
  readonly width: number;
}

/** key and value are [T, width]; `round` is the storage's rounding (identity for f32, to f16 and back for f16). */
export function storeKeyValue(
  cache: CacheArrays,
  key: Float32Array,
  value: Float32Array,
  slots: Int32Array,
  positions: Int32Array,
  round: (value: number) => number,
): void {
  for (let t = 0; t < slots.length; t++) {
    const row = (slots[t] * cache.contextLength + positions[t]) * cache.width;
    for (let i = 0; i < cache.width; i++) {
      cache.keys[row + i] = round(key[t * cache.width + i]);
      cache.values[row + i] = round(value[t * cache.width + i]);
    }
  }
}
