/**
 * add: scaled accumulation. out may be a. The oracle for all other add kernels.
 */

/** out[i] = a[i] + factor * b[i] for i < count. */
export function add(
  out: Float32Array,
  a: Float32Array,
  b: Float32Array,
  count: number,
  factor: number,
): void {
  for (let i = 0; i < count; i++) {
    out[i] = a[i] + factor * b[i];
  }
}
