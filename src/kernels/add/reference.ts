/**
 * add: scaled accumulation. out may be a. The oracle for all other add kernels.
 */
import type { Values } from "../values.ts";

/** out[i] = a[i] + factor * b[i] for i < count. */
export function add(out: Values, a: Values, b: Values, count: number, factor: number): void {
  for (let i = 0; i < count; i++) {
    out[i] = a[i] + factor * b[i];
  }
}
