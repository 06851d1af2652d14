// 8-bit block weights times 16-bit activations. Products accumulate in i32 over a block of 32 columns (at
// most 32 * 127 * 32767 < 2^28), one float multiply-add per block and row. The activations carry 15 bits and
// one scale per token, so nothing is lost against f32 activations that matters beside the weights' own 8
// bits. i32x4.dot_i16x8_s beats the relaxed i8 dot product here: V8 needs three instructions for the latter
// before AVX-VNNI, and the sign of 8-bit weights does not fit its 7-bit operand. Inner loops stay rolled: V8
// unrolls them itself and spills when the source does (README.md has the figures).
import { halfMask, HALF_SCALE, widenHalf } from "../lanes.as";
import { Q8_BLOCK_BYTES, TILE } from "./layout.as";

/** One panel's eight sums, kept in two vectors by the caller; see linear_q8_i16_row. */
// @ts-ignore: decorator
@inline function finish(out: usize, sum: v128, scale: v128, bias: usize): void {
  v128.store(out, f32x4.add(f32x4.mul(f32x4.mul(sum, f32x4.splat(HALF_SCALE)), scale), v128.load(bias)));
}

/**
 * out[8 * first .. 8 * last) = W x + bias for one token. Two panels half the range apart are read in
 * turns: two streams keep the memory system busy across page ends where one does not.
 */
export function linear_q8_i16_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  const mask = halfMask();
  const panelBytes = (<usize>columns >> 5) * Q8_BLOCK_BYTES;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes;
  const outGap = <usize>pairs << 5;
  const scale = v128.load32_splat(x);
  let w = weights + <usize>first * panelBytes;
  out += <usize>first << 5;
  bias += <usize>first << 5;
  for (let pair = 0; pair < pairs; pair++) {
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0), f2 = f32x4.splat(0), f3 = f32x4.splat(0);
    let xp = x + 16;
    for (const end = w + panelBytes; w < end; w += Q8_BLOCK_BYTES) {
      let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
      let q = w + 16;
      for (const blockEnd = w + Q8_BLOCK_BYTES; q < blockEnd; q += 16) {
        const xv = v128.load32_splat(xp);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(q), xv));
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(q, 8), xv));
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load8x8_s(q + gap), xv));
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load8x8_s(q + gap, 8), xv));
        xp += 4;
      }
      f0 = f32x4.add(f0, f32x4.mul(f32x4.convert_i32x4_s(a0), widenHalf(w, 0, mask)));
      f1 = f32x4.add(f1, f32x4.mul(f32x4.convert_i32x4_s(a1), widenHalf(w, 8, mask)));
      f2 = f32x4.add(f2, f32x4.mul(f32x4.convert_i32x4_s(a2), widenHalf(w + gap, 0, mask)));
      f3 = f32x4.add(f3, f32x4.mul(f32x4.convert_i32x4_s(a3), widenHalf(w + gap, 8, mask)));
    }
    finish(out, f0, scale, bias);
    finish(out + 16, f1, scale, bias + 16);
    finish(out + outGap, f2, scale, bias + outGap);
    finish(out + outGap + 16, f3, scale, bias + outGap + 16);
    out += 32;
    bias += 32;
  }
  if ((last - first) & 1) {
    w += gap;
    out += outGap;
    bias += outGap;
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0);
    let xp = x + 16;
    for (const end = w + panelBytes; w < end; w += Q8_BLOCK_BYTES) {
      let a0 = i32x4.splat(0), a1 = i32x4.splat(0);
      let q = w + 16;
      for (const blockEnd = w + Q8_BLOCK_BYTES; q < blockEnd; q += 16) {
        const xv = v128.load32_splat(xp);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(q), xv));
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(q, 8), xv));
        xp += 4;
      }
      f0 = f32x4.add(f0, f32x4.mul(f32x4.convert_i32x4_s(a0), widenHalf(w, 0, mask)));
      f1 = f32x4.add(f1, f32x4.mul(f32x4.convert_i32x4_s(a1), widenHalf(w, 8, mask)));
    }
    finish(out, f0, scale, bias);
    finish(out + 16, f1, scale, bias + 16);
  }
}

/** out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens; x holds interleaved activations. */
export function linear_q8_i16_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  const mask = halfMask();
  const panelBytes = (<usize>columns >> 5) * Q8_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const panelStart = weights + panel * panelBytes;
    let to = out + (panel << 5);
    const b = bias + (panel << 5);
    let xp = x;
    for (let tile = 0; tile < tiles; tile++) {
      let f00 = f32x4.splat(0), f01 = f32x4.splat(0), f10 = f32x4.splat(0), f11 = f32x4.splat(0);
      let f20 = f32x4.splat(0), f21 = f32x4.splat(0), f30 = f32x4.splat(0), f31 = f32x4.splat(0);
      const scales = xp;
      xp += 16;
      let w = panelStart;
      for (const end = w + panelBytes; w < end; w += Q8_BLOCK_BYTES) {
        let a00 = i32x4.splat(0), a01 = i32x4.splat(0), a10 = i32x4.splat(0), a11 = i32x4.splat(0);
        let a20 = i32x4.splat(0), a21 = i32x4.splat(0), a30 = i32x4.splat(0), a31 = i32x4.splat(0);
        let q = w + 16;
        for (const blockEnd = w + Q8_BLOCK_BYTES; q < blockEnd; q += 16) {
          const w0 = v128.load8x8_s(q), w1 = v128.load8x8_s(q, 8);
          let xv = v128.load32_splat(xp);
          a00 = i32x4.add(a00, i32x4.dot_i16x8_s(w0, xv));
          a01 = i32x4.add(a01, i32x4.dot_i16x8_s(w1, xv));
          xv = v128.load32_splat(xp, 4);
          a10 = i32x4.add(a10, i32x4.dot_i16x8_s(w0, xv));
          a11 = i32x4.add(a11, i32x4.dot_i16x8_s(w1, xv));
          xv = v128.load32_splat(xp, 8);
          a20 = i32x4.add(a20, i32x4.dot_i16x8_s(w0, xv));
          a21 = i32x4.add(a21, i32x4.dot_i16x8_s(w1, xv));
          xv = v128.load32_splat(xp, 12);
          a30 = i32x4.add(a30, i32x4.dot_i16x8_s(w0, xv));
          a31 = i32x4.add(a31, i32x4.dot_i16x8_s(w1, xv));
          xp += 16;
        }
        const s0 = widenHalf(w, 0, mask), s1 = widenHalf(w, 8, mask);
        f00 = f32x4.add(f00, f32x4.mul(f32x4.convert_i32x4_s(a00), s0));
        f01 = f32x4.add(f01, f32x4.mul(f32x4.convert_i32x4_s(a01), s1));
        f10 = f32x4.add(f10, f32x4.mul(f32x4.convert_i32x4_s(a10), s0));
        f11 = f32x4.add(f11, f32x4.mul(f32x4.convert_i32x4_s(a11), s1));
        f20 = f32x4.add(f20, f32x4.mul(f32x4.convert_i32x4_s(a20), s0));
        f21 = f32x4.add(f21, f32x4.mul(f32x4.convert_i32x4_s(a21), s1));
        f30 = f32x4.add(f30, f32x4.mul(f32x4.convert_i32x4_s(a30), s0));
        f31 = f32x4.add(f31, f32x4.mul(f32x4.convert_i32x4_s(a31), s1));
      }
      let scale = v128.load32_splat(scales);
      finish(to, f00, scale, b);
      finish(to + 16, f01, scale, b + 16);
      scale = v128.load32_splat(scales, 4);
      finish(to + outStride, f10, scale, b);
      finish(to + outStride + 16, f11, scale, b + 16);
      scale = v128.load32_splat(scales, 8);
      finish(to + 2 * outStride, f20, scale, b);
      finish(to + 2 * outStride + 16, f21, scale, b + 16);
      scale = v128.load32_splat(scales, 12);
      finish(to + 3 * outStride, f30, scale, b);
      finish(to + 3 * outStride + 16, f31, scale, b + 16);
      to += TILE * outStride;
    }
  }
}
