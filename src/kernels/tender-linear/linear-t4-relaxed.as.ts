// 4-bit weights with a scale per row times 8-bit codes: activations whose shifted codes fit 8 bits (4-bit
// activations in at most five groups, 8-bit ones in one), or columns in the order of channel groups. A nibble
// fits the unsigned 7-bit operand of the relaxed dot product exactly. Pair sums stay in i16 for 32 columns,
// starting from the block's offset correction (see ../linear/linear-q4-relaxed.as.ts for why that cannot
// wrap). They are added up in i32 by a dot product with the block's power of two: what Tender shifts between
// groups costs nothing, since pairs had to be added anyway. No float work until the end.
import { nibbleMask } from "../lanes.as";
import { I8_BLOCK_BYTES, T4_BLOCK_BYTES, TENDER_HEADER_BYTES, TILE } from "../linear/layout.as";
import { finishTile, offsetOf, tenderFinish } from "./linear-t8.as";

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

/** sum + the pair sums of a block times its power of two (a pair of i16). */
// @ts-ignore: decorator
@inline function widen(sum: v128, block: v128, power: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(block, power));
}

/** out[8 * first .. 8 * last) for one token, two panels in turns. */
export function tender_linear_t4_t8_row(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, rowScales: usize, offset: usize, offsetStride: usize,
): void {
  const nibbles = nibbleMask();
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes, outGap = <usize>pairs << 5;
  const scale = v128.load32_splat(x);
  const start = <usize>first << 5;
  let w = weights + <usize>first * panelBytes;
  out += start;
  rowScales += start;
  offset = offsetOf(x, 0, offset, offsetStride) + start;
  for (let pair = 0; pair < pairs; pair++) {
    let f0 = i32x4.splat(0), f1 = i32x4.splat(0), f2 = i32x4.splat(0), f3 = i32x4.splat(0);
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; ) {
      const correction = v128.load32_splat(xp, 32);
      let a0 = correction, a1 = correction, a2 = correction, a3 = correction;
      for (const blockEnd = w + T4_BLOCK_BYTES; w < blockEnd; w += 32) {
        const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
        a0 = accumulate(a0, v128.load(w), x0, x1, nibbles);
        a1 = accumulate(a1, v128.load(w, 16), x0, x1, nibbles);
        a2 = accumulate(a2, v128.load(w + gap), x0, x1, nibbles);
        a3 = accumulate(a3, v128.load(w + gap, 16), x0, x1, nibbles);
        xp += 8;
      }
      const power = v128.load32_splat(xp, 4);
      xp += I8_BLOCK_BYTES - 32;
      f0 = widen(f0, a0, power);
      f1 = widen(f1, a1, power);
      f2 = widen(f2, a2, power);
      f3 = widen(f3, a3, power);
    }
    tenderFinish(out, f0, scale, rowScales, offset);
    tenderFinish(out + 16, f1, scale, rowScales + 16, offset + 16);
    tenderFinish(out + outGap, f2, scale, rowScales + outGap, offset + outGap);
    tenderFinish(out + outGap + 16, f3, scale, rowScales + outGap + 16, offset + outGap + 16);
    out += 32;
    rowScales += 32;
    offset += 32;
  }
  if ((last - first) & 1) {
    w += gap;
    let f0 = i32x4.splat(0), f1 = i32x4.splat(0);
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; ) {
      const correction = v128.load32_splat(xp, 32);
      let a0 = correction, a1 = correction;
      for (const blockEnd = w + T4_BLOCK_BYTES; w < blockEnd; w += 32) {
        const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4);
        a0 = accumulate(a0, v128.load(w), x0, x1, nibbles);
        a1 = accumulate(a1, v128.load(w, 16), x0, x1, nibbles);
        xp += 8;
      }
      const power = v128.load32_splat(xp, 4);
      xp += I8_BLOCK_BYTES - 32;
      f0 = widen(f0, a0, power);
      f1 = widen(f1, a1, power);
    }
    tenderFinish(out + outGap, f0, scale, rowScales + outGap, offset + outGap);
    tenderFinish(out + outGap + 16, f1, scale, rowScales + outGap + 16, offset + outGap + 16);
  }
}

/** out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens, as far apart as t16's. */
export function tender_linear_t4_t8_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize,
): void {
  const nibbles = nibbleMask();
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const panelStart = weights + panel * panelBytes;
    const s = rowScales + (panel << 5), o = offset + (panel << 5);
    let to = out + (panel << 5);
    let xp = x;
    for (let tile = 0; tile < tiles; tile++) {
      let f00 = i32x4.splat(0), f01 = i32x4.splat(0), f10 = i32x4.splat(0), f11 = i32x4.splat(0);
      let f20 = i32x4.splat(0), f21 = i32x4.splat(0), f30 = i32x4.splat(0), f31 = i32x4.splat(0);
      const header = xp;
      xp += TENDER_HEADER_BYTES;
      let w = panelStart;
      for (const end = w + panelBytes; w < end; ) {
        let a00 = v128.load32_splat(xp, 128), a01 = a00;
        let a10 = v128.load32_splat(xp, 136), a11 = a10;
        let a20 = v128.load32_splat(xp, 144), a21 = a20;
        let a30 = v128.load32_splat(xp, 152), a31 = a30;
        for (const blockEnd = w + T4_BLOCK_BYTES; w < blockEnd; w += 32) {
          const v0 = v128.load(w), v1 = v128.load(w, 16);
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
        let power = v128.load32_splat(xp, 4);
        f00 = widen(f00, a00, power);
        f01 = widen(f01, a01, power);
        power = v128.load32_splat(xp, 12);
        f10 = widen(f10, a10, power);
        f11 = widen(f11, a11, power);
        power = v128.load32_splat(xp, 20);
        f20 = widen(f20, a20, power);
        f21 = widen(f21, a21, power);
        power = v128.load32_splat(xp, 28);
        f30 = widen(f30, a30, power);
        f31 = widen(f31, a31, power);
        xp += TILE * 8;
      }
      finishTile(to, outStride, header, s, o, offsetStride, f00, f01, f10, f11, f20, f21, f30, f31);
      to += TILE * outStride;
    }
  }
}
