/**
 * Rounding to the nearest whole number, halves to the even one: what IEEE 754, SIMD `nearest` and every
 * quantization paper mean by "round". Math.round is something else (2.5 gives 3, -2.5 gives -2).
 */

/** Nearest whole number, ties to even; keeps NaN and infinities. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  if (fraction < 0.5) return floor;
  if (fraction > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
