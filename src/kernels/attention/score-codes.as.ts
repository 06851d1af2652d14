// scores.as.ts over a cache of bytes: products of integers. A query becomes codes of 16 bits with a scale of its own, pairs of
// channels next to each other as the 16-bit dot product takes them; sums over channels are exact, whatever their order.
import { addDot, largestMagnitude } from "../lanes.as";
import { SCALE_BYTES, rowBytesOf } from "../store-key-value/layout.as";
import { BURST, claimAhead, START, touch } from "./claim.as";
import { hideOutside } from "./scores.as";

/** Where the scales of a run's queries lie: behind their codes [stored / 2][run][2]. */
// @ts-ignore: decorator
@inline function queryScales(queries: usize, stored: usize, run: usize): usize { return queries + ((stored * run) << 1); }

/** `run` query heads as codes, zeros beyond the width; products with `stored` codes of a key fit 32 bits. */
export function placeQueryCodes(rows: usize, to: usize, run: usize, width: usize, stored: usize, scale: f32): void {
  const limit = <f32>min<usize>(32767, 0x7fffffff / (127 * stored)), scales = queryScales(to, stored, run);
  for (let h: usize = 0; h < run; h++) {
    const row = rows + ((h * width) << 2), largest = largestMagnitude(row, <i32>width);
    const inverse: f32 = largest == 0 ? 0 : limit / largest;
    store<f32>(scales + (h << 2), largest / limit * scale);
    for (let i: usize = 0; i < stored; i++) {
      const code = i < width ? <i32>nearest<f32>(load<f32>(row + (i << 2)) * inverse) : 0;
      store<i16>(to + ((((i >> 1) * run + h) << 1) + (i & 1) << 1), <i16>code);
    }
  }
}

/** Stores the scores of a panel and a head from its sums. */
// @ts-ignore: decorator
@inline function storeScores(
  to: usize, panel: usize, sum0: v128, sum1: v128, scale: usize, position: i32, start: i32, end: i32,
): void {
  const unit = v128.load32_splat(scale);
  const s0 = f32x4.mul(f32x4.convert_i32x4_s(sum0), f32x4.mul(v128.load(panel), unit));
  const s1 = f32x4.mul(f32x4.convert_i32x4_s(sum1), f32x4.mul(v128.load(panel, 16), unit));
  v128.store(to, hideOutside(s0, position, 0, start, end));
  v128.store(to, hideOutside(s1, position, 16, start, end), 16);
}

/** scoreRun of queries [stored / 2][4][2]. */
// @ts-ignore: decorator
@inline export function scoreRunCodes(
  query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize, stride: usize, claimed: usize,
): void {
  const panelBytes = rowBytesOf<i8>(stored) << 3, scales = queryScales(query, stored, 4);
  let panel = keys + <usize>(start >> 3) * panelBytes;
  for (let position = start & ~7; position < end; position += 8) {
    if (position + <i32>START >= end) claimAhead(claimed);
    let a00 = i32x4.splat(0), a01 = i32x4.splat(0), a10 = i32x4.splat(0), a11 = i32x4.splat(0);
    let a20 = i32x4.splat(0), a21 = i32x4.splat(0), a30 = i32x4.splat(0), a31 = i32x4.splat(0);
    let q = query;
    for (let k = panel + SCALE_BYTES, panelEnd = panel + panelBytes; k < panelEnd; k += 16) {
      const k0 = v128.load8x8_s(k), k1 = v128.load8x8_s(k, 8);
      let qv = v128.load32_splat(q);
      a00 = addDot(a00, k0, qv), a01 = addDot(a01, k1, qv);
      qv = v128.load32_splat(q, 4);
      a10 = addDot(a10, k0, qv), a11 = addDot(a11, k1, qv);
      qv = v128.load32_splat(q, 8);
      a20 = addDot(a20, k0, qv), a21 = addDot(a21, k1, qv);
      qv = v128.load32_splat(q, 12);
      a30 = addDot(a30, k0, qv), a31 = addDot(a31, k1, qv);
      q += 16;
    }
    const to = scores + (<usize>position << 2);
    storeScores(to, panel, a00, a01, scales, position, start, end);
    storeScores(to + stride, panel, a10, a11, scales + 4, position, start, end);
    storeScores(to + 2 * stride, panel, a20, a21, scales + 8, position, start, end);
    storeScores(to + 3 * stride, panel, a30, a31, scales + 12, position, start, end);
    panel += panelBytes;
  }
}

/** scoreOne of a query [stored / 2][2]. */
// @ts-ignore: decorator
@inline export function scoreOneCodes(query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize): void {
  const panelBytes = rowBytesOf<i8>(stored) << 3, scale = queryScales(query, stored, 1);
  const last = keys + <usize>((end + 7) >> 3) * panelBytes;
  let panel = keys + <usize>(start >> 3) * panelBytes, near = panel;
  for (let position = start & ~7; position < end; position += 8) {
    if (panel >= near && position < start + <i32>START) {
      near = min(panel + BURST, last);
      touch(panel, near - panel);
    }
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), b0 = i32x4.splat(0), b1 = i32x4.splat(0);
    let q = query;
    // Two pairs of channels at a time, since one waits for its own additions; stored is a multiple of 8.
    for (let k = panel + SCALE_BYTES, panelEnd = panel + panelBytes; k < panelEnd; k += 32) {
      let qv = v128.load32_splat(q);
      a0 = addDot(a0, v128.load8x8_s(k), qv), a1 = addDot(a1, v128.load8x8_s(k, 8), qv);
      qv = v128.load32_splat(q, 4);
      b0 = addDot(b0, v128.load8x8_s(k, 16), qv), b1 = addDot(b1, v128.load8x8_s(k, 24), qv);
      q += 8;
    }
    const to = scores + (<usize>position << 2);
    storeScores(to, panel, i32x4.add(a0, b0), i32x4.add(a1, b1), scale, position, start, end);
    panel += panelBytes;
  }
}
