// linear_q4 for engines without relaxed SIMD: the same integers as linear-q4-relaxed.as.ts, so the same
// floats in the same order and the same tokens, at about half the speed. Products go through
// i16x8.extmul; the two vectors of a row quartet hold two lanes per row, which one shuffle at the end of
// the block brings together.
import { halfMask, HALF_SCALE, nibbleMask, onesI16, widenHalf } from "../lanes.as";
import { I8_BLOCK_BYTES, Q4_BLOCK_BYTES, TILE } from "./layout.as";

const FINAL_SCALE: f32 = HALF_SCALE / 1152921504606846976.0;

// @ts-ignore: decorator
@inline function addLow(sum: v128, v: v128, x: v128, xHigh: v128, mask: v128): v128 {
  sum = i16x8.add(sum, i16x8.extmul_low_i8x16_s(x, v128.and(v, mask)));
  return i16x8.add(sum, i16x8.extmul_low_i8x16_s(xHigh, v128.and(i16x8.shr_u(v, 4), mask)));
}

// @ts-ignore: decorator
@inline function addHigh(sum: v128, v: v128, x: v128, xHigh: v128, mask: v128): v128 {
  sum = i16x8.add(sum, i16x8.extmul_high_i8x16_s(x, v128.and(v, mask)));
  return i16x8.add(sum, i16x8.extmul_high_i8x16_s(xHigh, v128.and(i16x8.shr_u(v, 4), mask)));
}

/** One panel (8 rows) times one token; xStep is the distance of 8-column groups, the tail sits at xTail. */
function panelDot(
  w: usize, panelBytes: usize, x: usize, xStep: usize, xBlock: usize, xTail: usize, out: usize, bias: usize,
): void {
  const mask = nibbleMask(), halves = halfMask(), ones = onesI16();
  let f0 = f32x4.splat(0), f1 = f32x4.splat(0);
  for (const end = w + panelBytes; w < end; w += Q4_BLOCK_BYTES) {
    let low0 = i16x8.splat(0), high0 = i16x8.splat(0), low1 = i16x8.splat(0), high1 = i16x8.splat(0);
    let q = w + 16, xp = x;
    for (const blockEnd = w + Q4_BLOCK_BYTES; q < blockEnd; q += 32) {
      const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
      const v0 = v128.load(q), v1 = v128.load(q, 16);
      low0 = addLow(low0, v0, x0, x1, mask);
      high0 = addHigh(high0, v0, x0, x1, mask);
      low1 = addLow(low1, v1, x0, x1, mask);
      high1 = addHigh(high1, v1, x0, x1, mask);
      xp += xStep;
    }
    const correction = i32x4.dot_i16x8_s(v128.load32_splat(x + xTail), ones), xScale = v128.load32_splat(x + xTail, 4);
    const l0 = i32x4.dot_i16x8_s(low0, ones), h0 = i32x4.dot_i16x8_s(high0, ones);
    const l1 = i32x4.dot_i16x8_s(low1, ones), h1 = i32x4.dot_i16x8_s(high1, ones);
    const sum0 = i32x4.add(v128.shuffle<i32>(l0, h0, 0, 2, 4, 6), v128.shuffle<i32>(l0, h0, 1, 3, 5, 7));
    const sum1 = i32x4.add(v128.shuffle<i32>(l1, h1, 0, 2, 4, 6), v128.shuffle<i32>(l1, h1, 1, 3, 5, 7));
    f0 = f32x4.add(f0, f32x4.mul(f32x4.convert_i32x4_s(i32x4.add(sum0, correction)), f32x4.mul(xScale, widenHalf(w, 0, halves))));
    f1 = f32x4.add(f1, f32x4.mul(f32x4.convert_i32x4_s(i32x4.add(sum1, correction)), f32x4.mul(xScale, widenHalf(w, 8, halves))));
    x += xBlock;
  }
  v128.store(out, f32x4.add(f32x4.mul(f0, f32x4.splat(FINAL_SCALE)), v128.load(bias)));
  v128.store(out, f32x4.add(f32x4.mul(f1, f32x4.splat(FINAL_SCALE)), v128.load(bias, 16)), 16);
}

/** out[8 * first .. 8 * last) = W x + bias for one token. */
export function linear_q4_i8_row(weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, bias: usize): void {
  const panelBytes = (<usize>columns >> 5) * Q4_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    panelDot(weights + panel * panelBytes, panelBytes, x, 8, I8_BLOCK_BYTES, 32, out + (panel << 5), bias + (panel << 5));
  }
}

/** out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens. */
export function linear_q4_i8_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, bias: usize,
): void {
  const panelBytes = (<usize>columns >> 5) * Q4_BLOCK_BYTES;
  const tileBytes = (<usize>columns >> 5) * (I8_BLOCK_BYTES * TILE);
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    for (let tile: usize = 0; tile < <usize>tiles; tile++) {
      for (let t: usize = 0; t < TILE; t++) {
        panelDot(
          weights + panel * panelBytes, panelBytes, x + tile * tileBytes + t * 8, TILE * 8, I8_BLOCK_BYTES * TILE,
          TILE * 32, out + (tile * TILE + t) * outStride + (panel << 5), bias + (panel << 5),
        );
      }
    }
  }
}
