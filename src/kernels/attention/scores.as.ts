// The first half of attention: products of query heads and cached keys. A run is 4 heads that share a key/value head: each
// key is read and widened once for all of them. Sums run over the columns in order, so a score depends on nothing but its
// query and key. Keys: panels of 8 positions (store-key-value/layout.as.ts).
import { halfMask, madd, widenHalf } from "../lanes.as";
import { claimAhead, START, touchStart } from "./claim.as";

const LANES = memory.data<u32>([0, 1, 2, 3, 4, 5, 6, 7], 16);

/** Four cached values, those of f16 times 2^-112. */
// @ts-ignore: decorator
@inline export function widen<E>(p: usize, offset: u32, mask: v128): v128 {
  if (isFloat<E>()) return v128.load(p + offset);
  return widenHalf(p, offset, mask);
}

/** All bits of the lanes whose position lies in [start, end). */
// @ts-ignore: decorator
@inline function inside(position: i32, offset: u32, start: i32, end: i32): v128 {
  const at = i32x4.add(v128.load(LANES + offset), i32x4.splat(position));
  return v128.and(i32x4.ge_s(at, i32x4.splat(start)), i32x4.lt_s(at, i32x4.splat(end)));
}

/** Minus infinity where a position lies outside [start, end). */
// @ts-ignore: decorator
@inline export function hideOutside(scores: v128, position: i32, offset: u32, start: i32, end: i32): v128 {
  return v128.bitselect(scores, f32x4.splat(-Infinity), inside(position, offset, start, end));
}

/** Zero where a position lies outside [start, end), whatever is there. */
// @ts-ignore: decorator
@inline export function showInside(weights: v128, position: i32, offset: u32, start: i32, end: i32): v128 {
  return v128.and(weights, inside(position, offset, start, end));
}

/**
 * Scores of 4 heads: query [stored][4], out head h at scores + h * stride. While the last positions are read, `claimed` bytes per
 * panel are claimed of what was planned.
 */
// @ts-ignore: decorator
@inline export function scoreRun<E>(
  query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize, stride: usize, claimed: usize,
): void {
  const mask = halfMask();
  const step = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const panelBytes = stored * step;
  let k = keys + <usize>(start >> 3) * panelBytes;
  for (let position = start & ~7; position < end; position += 8) {
    if (position + <i32>START >= end) claimAhead(claimed);
    let a00 = f32x4.splat(0), a01 = f32x4.splat(0), a10 = f32x4.splat(0), a11 = f32x4.splat(0);
    let a20 = f32x4.splat(0), a21 = f32x4.splat(0), a30 = f32x4.splat(0), a31 = f32x4.splat(0);
    let q = query;
    for (const panelEnd = k + panelBytes; k < panelEnd; k += step) {
      const k0 = widen<E>(k, 0, mask), k1 = widen<E>(k, half, mask);
      let qv = v128.load32_splat(q);
      a00 = madd(k0, qv, a00);
      a01 = madd(k1, qv, a01);
      qv = v128.load32_splat(q, 4);
      a10 = madd(k0, qv, a10);
      a11 = madd(k1, qv, a11);
      qv = v128.load32_splat(q, 8);
      a20 = madd(k0, qv, a20);
      a21 = madd(k1, qv, a21);
      qv = v128.load32_splat(q, 12);
      a30 = madd(k0, qv, a30);
      a31 = madd(k1, qv, a31);
      q += 16;
    }
    const to = scores + (<usize>position << 2);
    v128.store(to, hideOutside(a00, position, 0, start, end));
    v128.store(to, hideOutside(a01, position, 16, start, end), 16);
    v128.store(to + stride, hideOutside(a10, position, 0, start, end));
    v128.store(to + stride, hideOutside(a11, position, 16, start, end), 16);
    v128.store(to + 2 * stride, hideOutside(a20, position, 0, start, end));
    v128.store(to + 2 * stride, hideOutside(a21, position, 16, start, end), 16);
    v128.store(to + 3 * stride, hideOutside(a30, position, 0, start, end));
    v128.store(to + 3 * stride, hideOutside(a31, position, 16, start, end), 16);
  }
}

/** Scores of 1 head and a panel: query [stored]. */
// @ts-ignore: decorator
@inline function scorePanel<E>(query: usize, k: usize, stored: usize, position: i32, start: i32, end: i32, to: usize): void {
  const mask = halfMask();
  const step = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
  for (const panelEnd = k + stored * step; k < panelEnd; k += step) {
    const qv = v128.load32_splat(query);
    a0 = madd(widen<E>(k, 0, mask), qv, a0);
    a1 = madd(widen<E>(k, half, mask), qv, a1);
    query += 4;
  }
  v128.store(to, hideOutside(a0, position, 0, start, end));
  v128.store(to, hideOutside(a1, position, 16, start, end), 16);
}

/**
 * Scores of 1 head: query [stored]. Two panels at a time, since one alone waits for its own additions: one from either half of
 * the span, so that both are read in the order of memory.
 */
// @ts-ignore: decorator
@inline export function scoreOne<E>(query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize): void {
  const mask = halfMask();
  const step = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const panelBytes = stored * step, first = start & ~7, panels = (end + 7 - first) >> 3;
  const far = ((panels + 1) >> 1) << 3, farBytes = <usize>(far >> 3) * panelBytes, pairBytes = <usize>(panels >> 1) * panelBytes;
  let k = keys + <usize>(start >> 3) * panelBytes, position = first;
  touchStart(k, farBytes);
  touchStart(k + farBytes, pairBytes);
  for (const pairsEnd = k + pairBytes; k < pairsEnd; position += 8) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
    let q = query;
    for (const panelEnd = k + panelBytes; k < panelEnd; k += step) {
      const qv = v128.load32_splat(q);
      a0 = madd(widen<E>(k, 0, mask), qv, a0);
      a1 = madd(widen<E>(k, half, mask), qv, a1);
      b0 = madd(widen<E>(k + farBytes, 0, mask), qv, b0);
      b1 = madd(widen<E>(k + farBytes, half, mask), qv, b1);
      q += 4;
    }
    const to = scores + (<usize>position << 2), toFar = to + (<usize>far << 2);
    v128.store(to, hideOutside(a0, position, 0, start, end));
    v128.store(to, hideOutside(a1, position, 16, start, end), 16);
    v128.store(toFar, hideOutside(b0, position + far, 0, start, end));
    v128.store(toFar, hideOutside(b1, position + far, 16, start, end), 16);
  }
  if ((panels & 1) != 0) scorePanel<E>(query, k, stored, position, start, end, scores + (<usize>position << 2));
}
