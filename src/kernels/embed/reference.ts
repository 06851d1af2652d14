/**
 * embed: looks up one table row per token. The oracle for all other embed kernels.
 * Invariant: tokens are valid row indices, checked by the executor.
 */
import type { Values } from "../values.ts";

/** out [T, width] = factor * table[tokens[t]]; table is [V, width]. */
export function embed(out: Values, table: Values, tokens: Int32Array, width: number, factor: number): void {
  for (let t = 0; t < tokens.length; t++) {
    const row = tokens[t] * width;
    for (let i = 0; i < width; i++) {
      out[t * width + i] = factor * table[row + i];
    }
  }
}
