/**
 * selectOutputs: gathers the rows that want logits. The oracle for all other selectOutputs kernels.
 */
import type { Values } from "../values.ts";

/** out [R, width]: out[r] = x[outputs[r]]; x is [T, width]. */
export function selectOutputs(out: Values, x: Values, outputs: Int32Array, width: number): void {
  for (let r = 0; r < outputs.length; r++) {
    for (let i = 0; i < width; i++) {
      out[r * width + i] = x[outputs[r] * width + i];
    }
  }
}
