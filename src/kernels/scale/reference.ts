/**
 * scale: multiplication by a constant. In place when out is x. The oracle for all other scale kernels.
 */
import type { Values } from "../values.ts";

/** out[i] = factor * x[i] for i < count. */
export function scale(out: Values, x: Values, count: number, factor: number): void {
  for (let i = 0; i < count; i++) {
    out[i] = factor * x[i];
  }
}
