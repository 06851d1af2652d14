// 8-bit weights with a scale per row times pre-shifted 16-bit activations: i32 accumulation across all
// columns, nothing but integers in the loop, one float multiply per output. Decoding reads two panels
// in turns. Batches widen each panel to 16 bits once and keep four tokens in registers; README.md has
// what else was tried, and why loops stay rolled is told in ../linear/linear-q8.as.ts. Equal bit for
// bit with the reference.
import { T8_BLOCK_BYTES, TENDER_HEADER_BYTES, TILE } from "../linear/layout.as";

/** f32(sum) * (activation scale * row scale) + offset, four rows. */
// @ts-ignore: decorator
@inline export function tenderFinish(out: usize, sum: v128, scale: v128, rowScales: usize, offset: usize): void {
  const scaled = f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(scale, v128.load(rowScales)));
  v128.store(out, f32x4.add(scaled, v128.load(offset)));
}

/** Row of the offset table that belongs to a token of the tile. */
// @ts-ignore: decorator
@inline export function offsetOf(x: usize, slot: usize, offset: usize, offsetStride: usize): usize {
  return offset + <usize>load<i32>(x + 16 + slot * 4) * offsetStride;
}

/** out[8 * first .. 8 * last) for one token; columns is a multiple of 32, the tables are [rows] f32. */
export function tender_linear_t8_t16_row(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, out: usize, rowScales: usize, offset: usize, offsetStride: usize,
): void {
  const panelBytes = (<usize>columns >> 5) * T8_BLOCK_BYTES;
  const pairs = (last - first) >> 1;
  const gap = <usize>pairs * panelBytes, outGap = <usize>pairs << 5;
  const scale = v128.load32_splat(x);
  const start = <usize>first << 5;
  let w = weights + <usize>first * panelBytes;
  out += start;
  rowScales += start;
  offset = offsetOf(x, 0, offset, offsetStride) + start;
  for (let pair = 0; pair < pairs; pair++) {
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; w += 16) {
      const xv = v128.load32_splat(xp);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(w), xv));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(w, 8), xv));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load8x8_s(w + gap), xv));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load8x8_s(w + gap, 8), xv));
      xp += 4;
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
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0);
    let xp = x + TENDER_HEADER_BYTES;
    for (const end = w + panelBytes; w < end; w += 16) {
      const xv = v128.load32_splat(xp);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(w), xv));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(w, 8), xv));
      xp += 4;
    }
    tenderFinish(out + outGap, a0, scale, rowScales + outGap, offset + outGap);
    tenderFinish(out + outGap + 16, a1, scale, rowScales + outGap + 16, offset + outGap + 16);
  }
}

/** One panel [stored columns, 8] of signed bytes as 16-bit lanes, twice the bytes. */
// @ts-ignore: decorator
@inline function widenPanel(w: usize, panelBytes: usize, target: usize): void {
  for (const end = w + panelBytes; w < end; w += 16) {
    v128.store(target, v128.load8x8_s(w));
    v128.store(target, v128.load8x8_s(w, 8), 16);
    target += 32;
  }
}

/**
 * out[t, 8 * first .. 8 * last) for `tiles` tiles of TILE tokens. Each panel is widened once into the
 * thread's scratch (16 * columns bytes): sign extension in the loop would cost every tile two of its
 * eighteen vector operations.
 */
export function tender_linear_t8_t16_tile(
  weights: usize, first: i32, last: i32, columns: i32, x: usize, tiles: i32, out: usize, outStride: usize, rowScales: usize,
  offset: usize, offsetStride: usize, scratch: usize,
): void {
  const panelBytes = (<usize>columns >> 5) * T8_BLOCK_BYTES;
  for (let panel = <usize>first; panel < <usize>last; panel++) {
    const at = panel << 5;
    widenPanel(weights + panel * panelBytes, panelBytes, scratch);
    multiplyWidened(scratch, panelBytes << 1, x, tiles, out + at, outStride, rowScales + at, offset + at, offsetStride);
  }
}

/** out[t, 0 .. 8) for `tiles` tiles of TILE tokens: one panel of 16-bit weights. */
export function multiplyWidened(
  panel: usize, panelBytes: usize, x: usize, tiles: i32, out: usize, outStride: usize, rowScales: usize, offset: usize,
  offsetStride: usize,
): void {
  for (let tile = 0; tile < tiles; tile++) {
    let a00 = i32x4.splat(0), a01 = i32x4.splat(0), a10 = i32x4.splat(0), a11 = i32x4.splat(0);
    let a20 = i32x4.splat(0), a21 = i32x4.splat(0), a30 = i32x4.splat(0), a31 = i32x4.splat(0);
    const header = x;
    x += TENDER_HEADER_BYTES;
    let w = panel;
    for (const end = w + panelBytes; w < end; w += 32) {
      const w0 = v128.load(w), w1 = v128.load(w, 16);
      let xv = v128.load32_splat(x);
      a00 = i32x4.add(a00, i32x4.dot_i16x8_s(w0, xv));
      a01 = i32x4.add(a01, i32x4.dot_i16x8_s(w1, xv));
      xv = v128.load32_splat(x, 4);
      a10 = i32x4.add(a10, i32x4.dot_i16x8_s(w0, xv));
      a11 = i32x4.add(a11, i32x4.dot_i16x8_s(w1, xv));
      xv = v128.load32_splat(x, 8);
      a20 = i32x4.add(a20, i32x4.dot_i16x8_s(w0, xv));
      a21 = i32x4.add(a21, i32x4.dot_i16x8_s(w1, xv));
      xv = v128.load32_splat(x, 12);
      a30 = i32x4.add(a30, i32x4.dot_i16x8_s(w0, xv));
      a31 = i32x4.add(a31, i32x4.dot_i16x8_s(w1, xv));
      x += 16;
    }
    finishTile(out, outStride, header, rowScales, offset, offsetStride, a00, a01, a10, a11, a20, a21, a30, a31);
    out += TILE * outStride;
  }
}

/** Eight sums of a tile: tokens 0 to 3, rows 0..3 and 4..7. */
// @ts-ignore: decorator
@inline export function finishTile(
  to: usize, outStride: usize, header: usize, s: usize, o: usize, offsetStride: usize,
  a00: v128, a01: v128, a10: v128, a11: v128, a20: v128, a21: v128, a30: v128, a31: v128,
): void {
  let scale = v128.load32_splat(header), offset = offsetOf(header, 0, o, offsetStride);
  tenderFinish(to, a00, scale, s, offset);
  tenderFinish(to + 16, a01, scale, s + 16, offset + 16);
  scale = v128.load32_splat(header, 4);
  offset = offsetOf(header, 1, o, offsetStride);
  tenderFinish(to + outStride, a10, scale, s, offset);
  tenderFinish(to + outStride + 16, a11, scale, s + 16, offset + 16);
  scale = v128.load32_splat(header, 8);
  offset = offsetOf(header, 2, o, offsetStride);
  tenderFinish(to + 2 * outStride, a20, scale, s, offset);
  tenderFinish(to + 2 * outStride + 16, a21, scale, s + 16, offset + 16);
  scale = v128.load32_splat(header, 12);
  offset = offsetOf(header, 3, o, offsetStride);
  tenderFinish(to + 3 * outStride, a30, scale, s, offset);
  tenderFinish(to + 3 * outStride + 16, a31, scale, s + 16, offset + 16);
}
