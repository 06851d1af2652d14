// Rotary position embedding of the heads [first, last) of one row, in place. The angles of a step are
// computed in f64 by the engine (executors/wasm/rotary.ts): per token `pairs` cosines, then `pairs` sines.

/** Pairs (i, i + pairs): the layout of Hugging Face checkpoints. */
export function rope_f32_halves(x: usize, first: i32, last: i32, headWidth: i32, pairs: i32, angles: usize): void {
  const bytes = <usize>pairs << 2;
  const wide = bytes & ~15;
  for (let head = <usize>first; head < <usize>last; head++) {
    const low = x + ((head * <usize>headWidth) << 2), high = low + bytes;
    for (let i: usize = 0; i < wide; i += 16) {
      const cosine = v128.load(angles + i), sine = v128.load(angles + bytes + i);
      const a = v128.load(low + i), b = v128.load(high + i);
      v128.store(low + i, f32x4.sub(f32x4.mul(a, cosine), f32x4.mul(b, sine)));
      v128.store(high + i, f32x4.add(f32x4.mul(b, cosine), f32x4.mul(a, sine)));
    }
    for (let i = wide; i < bytes; i += 4) {
      const cosine = load<f32>(angles + i), sine = load<f32>(angles + bytes + i);
      const a = load<f32>(low + i), b = load<f32>(high + i);
      store<f32>(low + i, a * cosine - b * sine);
      store<f32>(high + i, b * cosine + a * sine);
    }
  }
}

/** Pairs (2i, 2i + 1): the layout of GGUF files of the Llama family. */
export function rope_f32_interleaved(x: usize, first: i32, last: i32, headWidth: i32, pairs: i32, angles: usize): void {
  const bytes = <usize>pairs << 2;
  for (let head = <usize>first; head < <usize>last; head++) {
    let at = x + ((head * <usize>headWidth) << 2);
    for (let i: usize = 0; i < bytes; i += 4) {
      const cosine = load<f32>(angles + i), sine = load<f32>(angles + bytes + i);
      const a = load<f32>(at), b = load<f32>(at, 4);
      store<f32>(at, a * cosine - b * sine);
      store<f32>(at, b * cosine + a * sine, 4);
      at += 8;
    }
  }
}
