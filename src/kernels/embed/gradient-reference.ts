/**
 * Gradient of embed: every row goes back to its token's row of the table, in row order.
 */
import type { Values } from "../values.ts";

/** dTable[tokens[t]] += factor * dy[t]; dTable is [V, width], dy [N, width]. */
export function embedGradient(
  dTable: Values,
  dy: Values,
  tokens: Int32Array,
  width: number,
  factor: number,
): void {
  for (let t = 0; t < tokens.length; t++) {
    for (let i = 0; i < width; i++) dTable[tokens[t] * width + i] += factor * dy[t * width + i];
  }
}
