// 4-bit block weights times 8-bit activations. A nibble fits the unsigned 7-bit operand of the relaxed
// dot product exactly, so relaxed and plain SIMD give the same integers. Pair sums stay in i16 for a
// whole block: starting from the offset correction, a lane ends at sum over 16 columns of (n - 8) * x, at
// most 16 * 8 * 127 < 2^15, and wrapping on the way there is harmless. One widening, one float
// multiply-add per block and row.
import { halfMask, HALF_SCALE, nibbleMask, onesI16, widenHalf } from "../lanes.as";
import { I8_BLOCK_BYTES, Q4_BLOCK_BYTES, TILE } from "./layout.as";

/** HALF_SCALE / 2^60: the activations' scales already carry 2^60. */
const FINAL_SCALE: f32 = HALF_SCALE / 1152921504606846976.0;

// @ts-ignore: decorator
@inline function finish(out: usize, sum: v128, bias: usize): void {
  v128.store(out, f32x4.add(f32x4.mul(sum, f32x4.splat(FINAL_SCALE)), v128.load(bias)));
}

// @ts-ignore: decorator
@inline function highNibbles(v: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(v, 4), mask);
}

/** Adds 8 columns of 4 rows: x holds 4 columns' bytes for the low nibbles, xHigh for the high ones. */
// @ts-ignore: decorator
@inline function accumulate(sum: v128, v: v128, x: v128, xHigh: v128, mask: v128): v128 {
  sum = i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, v128.and(v, mask)));
  return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(xHigh, highNibbles(v, mask)));
}

/** sum + (four rows' block total) * weight scale * activation scale */
// @ts-ignore: decorator
@inline function scaleBlock(sum: v128, block: v128, ones: v128, scales: usize, offset: u32, mask: v128, xScale: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(block, ones)), f32x4.mul(xScale, widenHalf(scales, offset, mask))));
}

/** out[8 * first .. 8 * last) = W x + bias for one token, two panels in turns (see linear-q8.as.ts). */
export function linear_q4_i8_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  const nibbles = nibbleMask(), halves = halfMask(), ones = onesI16();
  const panelBytes = (<usize>columns >> 5) * Q4_BLOCK_BYTES;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes;
  const outGap = <usize>pairs << 5;
  let w = weights + <usize>first * panelBytes;
  out += <usize>first << 5;
  bias += <usize>first << 5;
  for (let pair = 0; pair < pairs; pair++) {
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0), f2 = f32x4.splat(0), f3 = f32x4.splat(0);
    let xp = x;
    for (const end = w + panelBytes; w < end; w += Q4_BLOCK_BYTES) {
      const correction = v128.load32_splat(xp, 32), xScale = v128.load32_splat(xp, 36);
      let a0 = correction, a1 = correction, a2 = correction, a3 = correction;
      let q = w + 16;
      for (const blockEnd = w + Q4_BLOCK_BYTES; q < blockEnd; q += 32) {
        const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
        a0 = accumulate(a0, v128.load(q), x0, x1, nibbles);
        a1 = accumulate(a1, v128.load(q, 16), x0, x1, nibbles);
        a2 = accumulate(a2, v128.load(q + gap), x0, x1, nibbles);
        a3 = accumulate(a3, v128.load(q + gap, 16), x0, x1, nibbles);
        xp += 8;
      }
      xp += I8_BLOCK_BYTES - 32;
      f0 = scaleBlock(f0, a0, ones, w, 0, halves, xScale);
      f1 = scaleBlock(f1, a1, ones, w, 8, halves, xScale);
      f2 = scaleBlock(f2, a2, ones, w + gap, 0, halves, xScale);
      f3 = scaleBlock(f3, a3, ones, w + gap, 8, halves, xScale);
    }
    finish(out, f0, bias);
    finish(out + 16, f1, bias + 16);
    finish(out + outGap, f2, bias + outGap);
    finish(out + outGap + 16, f3, bias + outGap + 16);
    out += 32;
    bias += 32;
  }
  if ((last - first) & 1) {
    w += gap;
    out += outGap;
    bias += outGap;
    let f0 = f32x4.splat(0), f1 = f32x4.splat(0);
    let xp = x;
    for (const end = w + panelBytes; w < end; w += Q4_BLOCK_BYTES) {
      const correction = v128.load32_splat(xp, 32), xScale = v128.load32_splat(xp, 36);
      let a0 = correction, a1 = correction;
      let q = w + 16;
      for (const blockEnd = w + Q4_BLOCK_BYTES; q < blockEnd; q += 32) {
        const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
        a0 = accumulate(a0, v128.load(q), x0, x1, nibbles);
        a1 = accumulate(a1, v128.load(q, 16), x0, x1, nibbles);
        xp += 8;
      }
      xp += I8_BLOCK_BYTES - 32;
      f0 = scaleBlock(f0, a0, ones, w, 0, halves, xScale);
      f1 = scaleBlock(f1, a1, ones, w, 8, halves, xScale);
    }
    finish(out, f0, bias);
    finish(out + 16, f1, bias + 16);
  }
}

/** out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens. */
export function linear_q4_i8_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  const nibbles = nibbleMask(), halves = halfMask(), ones = onesI16();
  const panelBytes = (<usize>columns >> 5) * Q4_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const panelStart = weights + panel * panelBytes;
    let to = out + (panel << 5);
    const b = bias + (panel << 5);
    let xp = x;
    for (let tile = 0; tile < tiles; tile++) {
      let f00 = f32x4.splat(0), f01 = f32x4.splat(0), f10 = f32x4.splat(0), f11 = f32x4.splat(0);
      let f20 = f32x4.splat(0), f21 = f32x4.splat(0), f30 = f32x4.splat(0), f31 = f32x4.splat(0);
      let w = panelStart;
      for (const end = w + panelBytes; w < end; w += Q4_BLOCK_BYTES) {
        let a00 = v128.load32_splat(xp, 128), a01 = a00;
        let a10 = v128.load32_splat(xp, 136), a11 = a10;
        let a20 = v128.load32_splat(xp, 144), a21 = a20;
        let a30 = v128.load32_splat(xp, 152), a31 = a30;
        let q = w + 16;
        for (const blockEnd = w + Q4_BLOCK_BYTES; q < blockEnd; q += 32) {
          const v0 = v128.load(q), v1 = v128.load(q, 16);
          const low0 = v128.and(v0, nibbles), low1 = v128.and(v1, nibbles);
          const high0 = highNibbles(v0, nibbles), high1 = highNibbles(v1, nibbles);
          let xv = v128.load32_splat(xp);
          a00 = i16x8.add(a00, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low0));
          a01 = i16x8.add(a01, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low1));
          xv = v128.load32_splat(xp, 4);
          a00 = i16x8.add(a00, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high0));
          a01 = i16x8.add(a01, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high1));
          xv = v128.load32_splat(xp, 8);
          a10 = i16x8.add(a10, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low0));
          a11 = i16x8.add(a11, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low1));
          xv = v128.load32_splat(xp, 12);
          a10 = i16x8.add(a10, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high0));
          a11 = i16x8.add(a11, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high1));
          xv = v128.load32_splat(xp, 16);
          a20 = i16x8.add(a20, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low0));
          a21 = i16x8.add(a21, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low1));
          xv = v128.load32_splat(xp, 20);
          a20 = i16x8.add(a20, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high0));
          a21 = i16x8.add(a21, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high1));
          xv = v128.load32_splat(xp, 24);
          a30 = i16x8.add(a30, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low0));
          a31 = i16x8.add(a31, i16x8.relaxed_dot_i8x16_i7x16_s(xv, low1));
          xv = v128.load32_splat(xp, 28);
          a30 = i16x8.add(a30, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high0));
          a31 = i16x8.add(a31, i16x8.relaxed_dot_i8x16_i7x16_s(xv, high1));
          xp += TILE * 8;
        }
        let xScale = v128.load32_splat(xp, 4);
        f00 = scaleBlock(f00, a00, ones, w, 0, halves, xScale);
        f01 = scaleBlock(f01, a01, ones, w, 8, halves, xScale);
        xScale = v128.load32_splat(xp, 12);
        f10 = scaleBlock(f10, a10, ones, w, 0, halves, xScale);
        f11 = scaleBlock(f11, a11, ones, w, 8, halves, xScale);
        xScale = v128.load32_splat(xp, 20);
        f20 = scaleBlock(f20, a20, ones, w, 0, halves, xScale);
        f21 = scaleBlock(f21, a21, ones, w, 8, halves, xScale);
        xScale = v128.load32_splat(xp, 28);
        f30 = scaleBlock(f30, a30, ones, w, 0, halves, xScale);
        f31 = scaleBlock(f31, a31, ones, w, 8, halves, xScale);
        xp += TILE * 8;
      }
      finish(to, f00, b);
      finish(to + 16, f01, b + 16);
      finish(to + outStride, f10, b);
      finish(to + outStride + 16, f11, b + 16);
      finish(to + 2 * outStride, f20, b);
      finish(to + 2 * outStride + 16, f21, b + 16);
      finish(to + 3 * outStride, f30, b);
      finish(to + 3 * outStride + 16, f31, b + 16);
      to += TILE * outStride;
    }
  }
}
