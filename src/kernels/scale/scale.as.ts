// Multiplies columns of one row by a number. Counts are whole vectors: rows are padded.

/** out = factor * x */
export function scale_f32(x: usize, out: usize, bytes: usize, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, f32x4.mul(factors, v128.load(x + i)));
}
