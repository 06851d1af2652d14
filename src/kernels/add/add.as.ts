// Residual additions and scalings on columns of one row. Counts are whole vectors: rows are padded.

/** out = a + factor * b */
export function add_f32(a: usize, b: usize, out: usize, bytes: usize, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(out + i, f32x4.add(v128.load(a + i), f32x4.mul(factors, v128.load(b + i))));
  }
}
