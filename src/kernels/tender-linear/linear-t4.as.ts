// 4-bit weights with a scale per row times pre-shifted 16-bit activations, for codes that do not fit 8 bits
// (8-bit activations in more than one group, or found per token). Nibbles are stored offset by 8; the
// header's correction, -8 * sum(x'), starts every accumulator. A 16-bit lane holds four nibbles: shifts by 0,
// 4, 8 and 12 bring out the pairs of columns in the order that the activations have.
import { T4_BLOCK_BYTES, TENDER_HEADER_BYTES } from "../linear/layout.as";
import { multiplyWidened, offsetOf, tenderFinish } from "./linear-t8.as";

const LOW_NIBBLE = memory.data<u32>([0x000f000f, 0x000f000f, 0x000f000f, 0x000f000f], 16);

/** Adds 8 columns of 4 rows. */
// @ts-ignore: decorator
@inline function accumulate(sum: v128, v: v128, x0: v128, x1: v128, x2: v128, x3: v128, mask: v128): v128 {
  sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.and(v, mask), x0));
  sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(v, 4), mask), x1));
  sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(v, 8), mask), x2));
  return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.shr_u(v, 12), x3));
}

/** out[8 * first .. 8 * last) for one token, two panels in turns. */
export function tender_linear_t4_t16_row(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, rowScales: usize, offset: usize, offsetStride: usize,
): void {
  const mask = v128.load(LOW_NIBBLE);
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes, outGap = <usize>pairs << 5;
  const scale = v128.load32_splat(x), correction = v128.load32_splat(x, 32);
  const start = <usize>first << 5;
  let w = weights + <usize>first * panelBytes;
  out += start;
  rowScales += start;
  offset = offsetOf(x, 0, offset, offsetStride) + start;
  for (let pair = 0; pair < pairs; pair++) {
    let a0 = correction, a1 = correction, a2 = correction, a3 = correction;
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; w += 32) {
      const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4), x2 = v128.load32_splat(xp, 8), x3 = v128.load32_splat(xp, 12);
      a0 = accumulate(a0, v128.load(w), x0, x1, x2, x3, mask);
      a1 = accumulate(a1, v128.load(w, 16), x0, x1, x2, x3, mask);
      a2 = accumulate(a2, v128.load(w + gap), x0, x1, x2, x3, mask);
      a3 = accumulate(a3, v128.load(w + gap, 16), x0, x1, x2, x3, mask);
      xp += 16;
    }
    tenderFinish(out, a0, scale, rowScales, offset);
    tenderFinish(out + 16, a1, scale, rowScales + 16, offset + 16);
    tenderFinish(out + outGap, a2, scale, rowScales + outGap, offset + outGap);
    tenderFinish(out + outGap + 16, a3, scale, rowScales + outGap + 16, offset + outGap + 16);
    out += 32;
    rowScales += 32;
    offset += 32;
  }
  if ((last - first) & 1) {
    w += gap;
    let a0 = correction, a1 = correction;
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; w += 32) {
      const x0 = v128.load32_splat(xp), x1 = v128.load32_splat(xp, 4), x2 = v128.load32_splat(xp, 8), x3 = v128.load32_splat(xp, 12);
      a0 = accumulate(a0, v128.load(w), x0, x1, x2, x3, mask);
      a1 = accumulate(a1, v128.load(w, 16), x0, x1, x2, x3, mask);
      xp += 16;
    }
    tenderFinish(out + outGap, a0, scale, rowScales + outGap, offset + outGap);
    tenderFinish(out + outGap + 16, a1, scale, rowScales + outGap + 16, offset + outGap + 16);
  }
}

/** One panel as 16-bit lanes in the order of t8; 8 columns of 8 rows are 32 bytes here and 128 there. */
// @ts-ignore: decorator
@inline function unpackPanel(w: usize, panelBytes: usize, target: usize, mask: v128): void {
  const eight = i16x8.splat(8);
  for (const end = w + panelBytes; w < end; w += 32) {
    let v0 = v128.load(w), v1 = v128.load(w, 16);
    for (const pairsEnd = target + 128; target < pairsEnd; target += 32) {
      v128.store(target, i16x8.sub(v128.and(v0, mask), eight));
      v128.store(target, i16x8.sub(v128.and(v1, mask), eight), 16);
      v0 = i16x8.shr_u(v0, 4);
      v1 = i16x8.shr_u(v1, 4);
    }
  }
}

/**
 * out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens. Each panel is unpacked once into
 * the thread's scratch (16 * columns bytes): taking nibbles apart again for every tile would cost
 * more than the products.
 */
export function tender_linear_t4_t16_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize, scratch: usize,
): void {
  const mask = v128.load(LOW_NIBBLE);
  const panelBytes = (<usize>columns >> 5) * T4_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const at = panel << 5;
    unpackPanel(weights + panel * panelBytes, panelBytes, scratch, mask);
    multiplyWidened(scratch, panelBytes << 2, x, tiles, out + at, outStride, rowScales + at, offset + at, offsetStride);
  }
}
