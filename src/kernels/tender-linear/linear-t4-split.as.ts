// 4-bit weights with a scale per row times 16-bit codes, one token, by way of the relaxed dot product of
// bytes. A code is 256 * high + low, both signed bytes, and a nibble fits the unsigned 7-bit operand exactly:
// two products of bytes cost 11 operations per 32 weights where taking nibbles apart into 16-bit lanes
// costs 14. Pair sums stay in i16 for 32 columns from the offset correction on, |16 * 8 * 128| < 2^15 in the
// end (see ../linear/linear-q4-relaxed.as.ts); the halves meet in i32. Codes reach 32639 = 127 * 256 + 127 at
// most. One panel at a time: with two there are too few registers.
import { nibbleMask, onesI16 } from "../lanes.as";
import { SPLIT_BLOCK_BYTES, T4_BLOCK_BYTES, TENDER_HEADER_BYTES } from "../linear/layout.as";
import { offsetOf, tenderFinish } from "./linear-t8.as";

// @ts-ignore: decorator
@inline function accumulate(sum: v128, nibbles: v128, x: v128): v128 {
  return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, nibbles));
}

/** sum + the pair sums of a block, widened. */
// @ts-ignore: decorator
@inline function widen(sum: v128, block: v128, ones: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(block, ones));
}

/** out[8 * first .. 8 * last) for one token. */
export function tender_linear_t4_split_row(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, rowScales: usize, offset: usize, offsetStride: usize,
): void {
  const mask = nibbleMask(), ones = onesI16();
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  const scale = v128.load32_splat(x);
  const start = <usize>first << 5, stop = out + (<usize>last << 5);
  let w = weights + <usize>first * panelBytes;
  out += start;
  rowScales += start;
  offset = offsetOf(x, 0, offset, offsetStride) + start;
  for (; out < stop; out += 32) {
    let low0 = i32x4.splat(0), low1 = low0, high0 = low0, high1 = low0;
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; ) {
      let a0 = v128.load32_splat(xp, 64), a1 = a0;
      let b0 = v128.load32_splat(xp, 68), b1 = b0;
      for (const blockEnd = w + T4_BLOCK_BYTES; w < blockEnd; w += 32) {
        const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
        const y0 = v128.load32_splat(xp, 8), y1 = v128.load32_splat(xp, 12);
        let v = v128.load(w);
        let front = v128.and(v, mask), back = v128.and(i16x8.shr_u(v, 4), mask);
        a0 = accumulate(accumulate(a0, front, x0), back, x1);
        b0 = accumulate(accumulate(b0, front, y0), back, y1);
        v = v128.load(w, 16);
        front = v128.and(v, mask);
        back = v128.and(i16x8.shr_u(v, 4), mask);
        a1 = accumulate(accumulate(a1, front, x0), back, x1);
        b1 = accumulate(accumulate(b1, front, y0), back, y1);
        xp += 16;
      }
      xp += SPLIT_BLOCK_BYTES - 64;
      low0 = widen(low0, a0, ones);
      low1 = widen(low1, a1, ones);
      high0 = widen(high0, b0, ones);
      high1 = widen(high1, b1, ones);
    }
    tenderFinish(out, i32x4.add(low0, i32x4.shl(high0, 8)), scale, rowScales, offset);
    tenderFinish(out + 16, i32x4.add(low1, i32x4.shl(high1, 8)), scale, rowScales + 16, offset + 16);
    rowScales += 32;
    offset += 32;
  }
}
