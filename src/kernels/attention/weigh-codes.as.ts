// weighted-values.as.ts over a cache of bytes. What weighs a value, its probability times its scale, becomes a code of 16 bits with
// one unit per head, pairs of positions next to each other; sums over positions are exact in 32 bits.
import { addDot, exp4, largestLane, ROUNDING, roundToI16, sumLanes } from "../lanes.as";
import { SCALE_BYTES, rowBytesOf } from "../store-key-value/layout.as";
import { BURST, claimAhead, START, touch } from "./claim.as";
import { showInside } from "./scores.as";
import { largestScore } from "./softmax.as";

/** Panels whose values stay in the first-level cache while all channels of the sums pass over them. */
const BLOCK_PANELS: usize = 4;
/** What the codes of a head add up to at most: times 127 it fits 32 bits, with the rounding of a million positions. */
const MOST_SUM: f32 = 16000000;

/**
 * A head's scores in [row, rowEnd) over `spans` become weights, in place, then codes [positions] from the same address on: i16,
 * zeros outside of spans. values point at the head's. Returns what a code is worth beside the sum of all exponentials.
 */
export function encodeWeights(row: usize, rowEnd: usize, values: usize, stored: usize, spans: usize, lastSpan: usize): f32 {
  const panelBytes = rowBytesOf<i8>(stored) << 3, top = largestScore(row, rowEnd);
  let most = f32x4.splat(0), sums = f32x4.splat(0), total = f32x4.splat(0), to = row;
  for (let span = spans; span < lastSpan; span += 8) {
    const start = load<i32>(span), end = load<i32>(span, 4);
    let panel = values + <usize>(start >> 3) * panelBytes;
    for (let position = start & ~7; position < end; position += 8) {
      const e0 = exp4(f32x4.sub(v128.load(to), top)), e1 = exp4(f32x4.sub(v128.load(to, 16), top));
      let w0 = f32x4.mul(e0, v128.load(panel)), w1 = f32x4.mul(e1, v128.load(panel, 16));
      if (position < start || position + 8 > end) {
        w0 = showInside(w0, position, 0, start, end), w1 = showInside(w1, position, 16, start, end);
      }
      total = f32x4.add(total, f32x4.add(e0, e1));
      v128.store(to, w0), v128.store(to, w1, 16);
      most = f32x4.pmax(most, f32x4.pmax(w0, w1)), sums = f32x4.add(sums, f32x4.add(w0, w1));
      to += 32, panel += panelBytes;
    }
  }
  const unit = max<f32>(largestLane(most) / 32767, sumLanes(sums) / MOST_SUM), inverse: f32 = unit == 0 ? 0 : 1 / unit;
  const factor = f32x4.splat(inverse), rounding = f32x4.splat(ROUNDING);
  let codes = row;
  for (let from = row; from < to; from += 32) {
    v128.store(codes, roundToI16(from, factor, rounding));
    codes += 16;
  }
  return unit / sumLanes(total);
}

/**
 * sums[h][i], i32, += sum over positions of code[h][position] * value[position][i], 4 heads, in whole panels. codes is where position 0
 * would have its own, a head's `stride` bytes apart; the rest as in weighRun.
 */
// @ts-ignore: decorator
@inline export function weighRunCodes(
  codes: usize, stride: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize, runs: usize,
): void {
  const panelBytes = rowBytesOf<i8>(stored) << 3, pairBytes = stored << 1, sumBytes = stored << 2;
  const claimed = BLOCK_PANELS * 64 / runs, last = values + <usize>((end + 7) >> 3) * panelBytes;
  const lastClaims = values + <usize>(max(0, end - <i32>START) >> 3) * panelBytes;
  let p = codes + (<usize>(start & ~7) << 1);
  for (let block = values + <usize>(start >> 3) * panelBytes; block < last; block += BLOCK_PANELS * panelBytes) {
    const blockEnd = min(block + BLOCK_PANELS * panelBytes, last);
    const ending = block >= lastClaims;
    for (let i: usize = 0; i < stored; i += 8) {
      if (ending) claimAhead(claimed);
      const to = sums + (i << 2);
      let a00 = v128.load(to), a01 = v128.load(to, 16);
      let a10 = v128.load(to + sumBytes), a11 = v128.load(to + sumBytes, 16);
      let a20 = v128.load(to + 2 * sumBytes), a21 = v128.load(to + 2 * sumBytes, 16);
      let a30 = v128.load(to + 3 * sumBytes), a31 = v128.load(to + 3 * sumBytes, 16);
      let w = p;
      for (let panel = block; panel < blockEnd; panel += panelBytes) {
        for (let v = panel + SCALE_BYTES + (i << 1), panelEnd = panel + panelBytes; v < panelEnd; v += pairBytes) {
          const v0 = v128.load8x8_s(v), v1 = v128.load8x8_s(v, 8);
          let pair = v128.load32_splat(w);
          a00 = addDot(a00, v0, pair), a01 = addDot(a01, v1, pair);
          pair = v128.load32_splat(w + stride);
          a10 = addDot(a10, v0, pair), a11 = addDot(a11, v1, pair);
          pair = v128.load32_splat(w + 2 * stride);
          a20 = addDot(a20, v0, pair), a21 = addDot(a21, v1, pair);
          pair = v128.load32_splat(w + 3 * stride);
          a30 = addDot(a30, v0, pair), a31 = addDot(a31, v1, pair);
          w += 4;
        }
      }
      v128.store(to, a00), v128.store(to, a01, 16);
      v128.store(to + sumBytes, a10), v128.store(to + sumBytes, a11, 16);
      v128.store(to + 2 * sumBytes, a20), v128.store(to + 2 * sumBytes, a21, 16);
      v128.store(to + 3 * sumBytes, a30), v128.store(to + 3 * sumBytes, a31, 16);
    }
    p += BLOCK_PANELS * 16;
  }
}

/** weighRunCodes for 1 head. */
// @ts-ignore: decorator
@inline export function weighOneCodes(codes: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize): void {
  const panelBytes = rowBytesOf<i8>(stored) << 3, pairBytes = stored << 1, last = values + <usize>((end + 7) >> 3) * panelBytes;
  const first = values + <usize>(start >> 3) * panelBytes, started = first + (START >> 3) * panelBytes;
  let p = codes + (<usize>(start & ~7) << 1), near = first;
  for (let panel = first; panel < last; panel += panelBytes) {
    if (panel >= near && panel < started) {
      near = min(panel + BURST, last);
      touch(panel, near - panel);
    }
    const w0 = v128.load32_splat(p), w1 = v128.load32_splat(p, 4), w2 = v128.load32_splat(p, 8), w3 = v128.load32_splat(p, 12);
    const pair0 = panel + SCALE_BYTES, pair1 = pair0 + pairBytes, pair2 = pair1 + pairBytes, pair3 = pair2 + pairBytes;
    for (let i: usize = 0; i < pairBytes; i += 16) {
      const to = sums + (i << 1);
      const a = addDot(i32x4.dot_i16x8_s(v128.load8x8_s(pair0 + i), w0), v128.load8x8_s(pair1 + i), w1);
      const b = addDot(i32x4.dot_i16x8_s(v128.load8x8_s(pair2 + i), w2), v128.load8x8_s(pair3 + i), w3);
      const c = addDot(i32x4.dot_i16x8_s(v128.load8x8_s(pair0 + i, 8), w0), v128.load8x8_s(pair1 + i, 8), w1);
      const d = addDot(i32x4.dot_i16x8_s(v128.load8x8_s(pair2 + i, 8), w2), v128.load8x8_s(pair3 + i, 8), w3);
      v128.store(to, i32x4.add(v128.load(to), i32x4.add(a, b)));
      v128.store(to, i32x4.add(v128.load(to, 16), i32x4.add(c, d)), 16);
    }
    p += 16;
  }
}
