// tender_linear_t4_t8 for engines without relaxed SIMD: the same integers as linear-t4-relaxed.as.ts through
// i16x8.extmul, at about half the speed. Vectors of a row quartet hold two lanes per row, brought together by one shuffle
// at the end of the row.
import { nibbleMask } from "../lanes.as";
import { I8_BLOCK_BYTES, T4_BLOCK_BYTES, TENDER_HEADER_BYTES, TILE } from "../linear/layout.as";
import { offsetOf, tenderFinish } from "./linear-t8.as";

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

/** Two lanes per row of rows 0, 1 and of rows 2, 3 to one lane per row. */
// @ts-ignore: decorator
@inline function gather(low: v128, high: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(low, high, 0, 2, 4, 6), v128.shuffle<i32>(low, high, 1, 3, 5, 7));
}

/** One panel times token `slot` of a tile of `tokens`. */
function panelDot(
  w: usize, panelBytes: usize, x: usize, slot: usize, tokens: usize, out: usize, rowScales: usize, offset: usize,
): void {
  const mask = nibbleMask();
  let l0 = i32x4.splat(0), h0 = i32x4.splat(0), l1 = i32x4.splat(0), h1 = i32x4.splat(0), corrections = i32x4.splat(0);
  let block = x + TENDER_HEADER_BYTES;
  for (const end = w + panelBytes; w < end; ) {
    let low0 = i16x8.splat(0), high0 = i16x8.splat(0), low1 = i16x8.splat(0), high1 = i16x8.splat(0);
    let xp = block + slot * 8;
    for (const blockEnd = w + T4_BLOCK_BYTES; w < blockEnd; w += 32) {
      const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
      const v0 = v128.load(w), v1 = v128.load(w, 16);
      low0 = addLow(low0, v0, x0, x1, mask);
      high0 = addHigh(high0, v0, x0, x1, mask);
      low1 = addLow(low1, v1, x0, x1, mask);
      high1 = addHigh(high1, v1, x0, x1, mask);
      xp += tokens * 8;
    }
    const tail = block + tokens * 32 + slot * 8, power = v128.load32_splat(tail, 4);
    corrections = i32x4.add(corrections, i32x4.dot_i16x8_s(v128.load32_splat(tail), power));
    l0 = i32x4.add(l0, i32x4.dot_i16x8_s(low0, power));
    h0 = i32x4.add(h0, i32x4.dot_i16x8_s(high0, power));
    l1 = i32x4.add(l1, i32x4.dot_i16x8_s(low1, power));
    h1 = i32x4.add(h1, i32x4.dot_i16x8_s(high1, power));
    block += tokens * I8_BLOCK_BYTES;
  }
  const scale = v128.load32_splat(x + slot * 4);
  tenderFinish(out, i32x4.add(gather(l0, h0), corrections), scale, rowScales, offset);
  tenderFinish(out + 16, i32x4.add(gather(l1, h1), corrections), scale, rowScales + 16, offset + 16);
}

/** out[8 * first .. 8 * last) for one token. */
export function tender_linear_t4_t8_row(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, rowScales: usize, offset: usize, offsetStride: usize,
): void {
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  const o = offsetOf(x, 0, offset, offsetStride);
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const at = panel << 5;
    panelDot(weights + panel * panelBytes, panelBytes, x, 0, 1, out + at, rowScales + at, o + at);
  }
}

/** out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens. */
export function tender_linear_t4_t8_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize,
): void {
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  const tileBytes = TENDER_HEADER_BYTES + (<usize>columns >> 5) * (I8_BLOCK_BYTES * TILE);
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const w = weights + panel * panelBytes, at = panel << 5;
    for (let tile: usize = 0; tile < <usize>tiles; tile++) {
      const xTile = x + tile * tileBytes;
      for (let t: usize = 0; t < TILE; t++) {
        const o = offsetOf(xTile, t, offset, offsetStride) + at;
        panelDot(w, panelBytes, xTile, t, TILE, out + (tile * TILE + t) * outStride + at, rowScales + at, o);
      }
    }
  }
}
