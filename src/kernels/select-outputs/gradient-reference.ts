/**
 * Gradient of selectOutputs: rows go back to where they were taken from, all other rows get zero.
 */
import type { Values } from "../values.ts";

/** out [N, width] = 0, then out[outputs[r]] = dy[r]; dy is [R, width]. */
export function scatterOutputs(
  out: Values,
  dy: Values,
  outputs: Int32Array,
  rows: number,
  width: number,
): void {
  out.fill(0, 0, rows * width);
  for (let r = 0; r < outputs.length; r++) {
    for (let i = 0; i < width; i++) out[outputs[r] * width + i] = dy[r * width + i];
  }
}
