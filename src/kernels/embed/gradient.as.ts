// Sums over rows that end in one place, on the columns of one thread:
// gradients of the embedding table and of biases.

/** target[i] += factor * dy[i] for `bytes` bytes. */
export function add_scaled_f32(target: usize, dy: usize, bytes: usize, factor: f32): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    v128.store(target + i, f32x4.add(v128.load(target + i), f32x4.mul(v128.load(dy + i), factors)));
  }
  for (; i < bytes; i += 4) store<f32>(target + i, load<f32>(target + i) + load<f32>(dy + i) * factor);
}
