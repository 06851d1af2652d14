// Attention of one token over ascending intervals of cached positions, as a rule the one interval [0, position]: scores
// into scratch, softmax, weighted sum of values. Nothing outside the intervals is read but the rest of their panels. Keys are read as panels of 8 positions and values row by row, each cache byte once per run of up to 4 query
// heads that share a key/value head; every sum runs over positions in order, so results depend neither on the number
// of threads nor on how tokens are batched. Cache layout: store-key-value/store-key-value.as.ts.
// Scratch per thread: query [stored][RUN], sums [RUN][stored], scores [RUN][capacity + 8 + 16 per interval], all f32.
// Scores of an interval lie where its first panel begins, panel after panel; intervals follow each other.
import { exp4, halfMask, HALF_SCALE, madd, sumLanes, widenHalf } from "../lanes.as";

/** Query heads handled together. */
const RUN: usize = 4;
/** Positions whose values stay in the first-level cache while all columns of the sums pass over them. */
const VALUE_BLOCK: usize = 32;
/** Positions at the start of an interval that are asked for at once: there the processor does not read ahead yet. */
const START: usize = 64;

const LANES = memory.data<u32>([0, 1, 2, 3, 4, 5, 6, 7], 16);

// @ts-ignore: decorator
@inline function widen<E>(p: usize, offset: u32, mask: v128): v128 {
  if (isFloat<E>()) return v128.load(p + offset);
  return widenHalf(p, offset, mask);
}

// @ts-ignore: decorator
@inline function rescale<E>(): f32 {
  return isFloat<E>() ? <f32>1 : HALF_SCALE;
}

/** Minus infinity where a position lies outside [start, end). */
// @ts-ignore: decorator
@inline export function hideOutside(scores: v128, position: i32, offset: u32, start: i32, end: i32): v128 {
  const at = i32x4.add(v128.load(LANES + offset), i32x4.splat(position));
  const visible = v128.and(i32x4.ge_s(at, i32x4.splat(start)), i32x4.lt_s(at, i32x4.splat(end)));
  return v128.bitselect(scores, f32x4.splat(-Infinity), visible);
}

/** Never read; gives the loads of `touch` a use. */
const SINK = memory.data(16, 16);

/**
 * Reads one word of every cache line of a block before the arithmetic on it starts: the loads do not depend on each
 * other, so their misses overlap, which those inside the arithmetic hardly do (README.md has the figures).
 */
// @ts-ignore: decorator
@inline function touch(from: usize, bytes: usize): void {
  let seen: i32 = 0;
  for (const end = from + bytes; from < end; from += 64) seen ^= load<i32>(from);
  if (seen == 0x7fc3a1b5) store<i32>(SINK, seen);
}

/** Scores of 4 heads: query [stored][4], out head h at scores + h * stride. */
// @ts-ignore: decorator
@inline function scoreRun<E>(query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize, stride: usize): void {
  const mask = halfMask();
  const step = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const panelBytes = stored * step;
  let k = keys + <usize>(start >> 3) * panelBytes;
  const touched = min(k + (START >> 3) * panelBytes, keys + (<usize>(end + 7) >> 3) * panelBytes);
  touch(k, touched - k);
  for (let position = start & ~7; position < end; position += 8) {
    if (k >= touched) touch(k, panelBytes);
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

/** Scores of 1 head: query [stored]. Two panels at a time, since one alone waits for its own additions. */
// @ts-ignore: decorator
@inline function scoreOne<E>(query: usize, keys: usize, stored: usize, start: i32, end: i32, scores: usize): void {
  const mask = halfMask();
  const step = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const panelBytes = stored * step;
  let k = keys + <usize>(start >> 3) * panelBytes;
  let position = start & ~7;
  for (; position + 8 < end; position += 16) {
    touch(k, 2 * panelBytes);
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
    let q = query;
    for (const panelEnd = k + panelBytes; k < panelEnd; k += step) {
      const qv = v128.load32_splat(q);
      a0 = madd(widen<E>(k, 0, mask), qv, a0);
      a1 = madd(widen<E>(k, half, mask), qv, a1);
      b0 = madd(widen<E>(k + panelBytes, 0, mask), qv, b0);
      b1 = madd(widen<E>(k + panelBytes, half, mask), qv, b1);
      q += 4;
    }
    k += panelBytes;
    const to = scores + (<usize>position << 2);
    v128.store(to, hideOutside(a0, position, 0, start, end));
    v128.store(to, hideOutside(a1, position, 16, start, end), 16);
    v128.store(to, hideOutside(b0, position + 8, 0, start, end), 32);
    v128.store(to, hideOutside(b1, position + 8, 16, start, end), 48);
  }
  if (position < end) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
    let q = query;
    for (const panelEnd = k + panelBytes; k < panelEnd; k += step) {
      const qv = v128.load32_splat(q);
      a0 = madd(widen<E>(k, 0, mask), qv, a0);
      a1 = madd(widen<E>(k, half, mask), qv, a1);
      q += 4;
    }
    const to = scores + (<usize>position << 2);
    v128.store(to, hideOutside(a0, position, 0, start, end));
    v128.store(to, hideOutside(a1, position, 16, start, end), 16);
  }
}

/** Replaces scores by e^(score - max) * factor; returns the sum of the unscaled exponentials. */
// @ts-ignore: decorator
@inline export function exponentiate(from: usize, to: usize, factor: f32): f32 {
  let largest = f32x4.splat(-Infinity);
  for (let p = from; p < to; p += 16) largest = f32x4.pmax(largest, v128.load(p));
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
  const factors = f32x4.splat(factor);
  let sums = f32x4.splat(0);
  for (let p = from; p < to; p += 16) {
    const e = exp4(f32x4.sub(v128.load(p), largest));
    sums = f32x4.add(sums, e);
    v128.store(p, f32x4.mul(e, factors));
  }
  return sumLanes(sums);
}

/** sums[h][i] += sum over positions of probability[h][position] * value[position][i], 4 heads. */
// @ts-ignore: decorator
@inline function weighRun<E>(scores: usize, stride: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize): void {
  const mask = halfMask();
  const rowBytes = stored * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const sumBytes = stored << 2;
  for (let block = <usize>start; block < <usize>end; block += VALUE_BLOCK) {
    const blockStart = values + block * rowBytes, blockEnd = values + min(block + VALUE_BLOCK, <usize>end) * rowBytes;
    touch(blockStart, blockEnd - blockStart);
    for (let i: usize = 0; i < stored; i += 8) {
      const to = sums + (i << 2);
      let a00 = v128.load(to), a01 = v128.load(to, 16);
      let a10 = v128.load(to + sumBytes), a11 = v128.load(to + sumBytes, 16);
      let a20 = v128.load(to + 2 * sumBytes), a21 = v128.load(to + 2 * sumBytes, 16);
      let a30 = v128.load(to + 3 * sumBytes), a31 = v128.load(to + 3 * sumBytes, 16);
      let p = scores + (block << 2);
      const offset = i * sizeof<E>();
      for (let v = blockStart; v < blockEnd; v += rowBytes) {
        const v0 = widen<E>(v + offset, 0, mask), v1 = widen<E>(v + offset, half, mask);
        let pv = v128.load32_splat(p);
        a00 = madd(v0, pv, a00);
        a01 = madd(v1, pv, a01);
        pv = v128.load32_splat(p + stride);
        a10 = madd(v0, pv, a10);
        a11 = madd(v1, pv, a11);
        pv = v128.load32_splat(p + 2 * stride);
        a20 = madd(v0, pv, a20);
        a21 = madd(v1, pv, a21);
        pv = v128.load32_splat(p + 3 * stride);
        a30 = madd(v0, pv, a30);
        a31 = madd(v1, pv, a31);
        p += 4;
      }
      v128.store(to, a00);
      v128.store(to, a01, 16);
      v128.store(to + sumBytes, a10);
      v128.store(to + sumBytes, a11, 16);
      v128.store(to + 2 * sumBytes, a20);
      v128.store(to + 2 * sumBytes, a21, 16);
      v128.store(to + 3 * sumBytes, a30);
      v128.store(to + 3 * sumBytes, a31, 16);
    }
  }
}

/** weighRun for 1 head, 16 columns at a time where there are as many. */
// @ts-ignore: decorator
@inline function weighOne<E>(scores: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize): void {
  const mask = halfMask();
  const rowBytes = stored * sizeof<E>(), quarter = <u32>(4 * sizeof<E>());
  for (let block = <usize>start; block < <usize>end; block += VALUE_BLOCK) {
    const blockStart = values + block * rowBytes, blockEnd = values + min(block + VALUE_BLOCK, <usize>end) * rowBytes;
    touch(blockStart, blockEnd - blockStart);
    let i: usize = 0;
    for (; i + 16 <= stored; i += 16) {
      const to = sums + (i << 2), offset = i * sizeof<E>();
      let a0 = v128.load(to), a1 = v128.load(to, 16), a2 = v128.load(to, 32), a3 = v128.load(to, 48);
      let p = scores + (block << 2);
      for (let v = blockStart; v < blockEnd; v += rowBytes) {
        const pv = v128.load32_splat(p);
        a0 = madd(widen<E>(v + offset, 0, mask), pv, a0);
        a1 = madd(widen<E>(v + offset, quarter, mask), pv, a1);
        a2 = madd(widen<E>(v + offset, 2 * quarter, mask), pv, a2);
        a3 = madd(widen<E>(v + offset, 3 * quarter, mask), pv, a3);
        p += 4;
      }
      v128.store(to, a0);
      v128.store(to, a1, 16);
      v128.store(to, a2, 32);
      v128.store(to, a3, 48);
    }
    if (i < stored) {
      const to = sums + (i << 2), offset = i * sizeof<E>();
      let a0 = v128.load(to), a1 = v128.load(to, 16);
      let p = scores + (block << 2);
      for (let v = blockStart; v < blockEnd; v += rowBytes) {
        const pv = v128.load32_splat(p);
        a0 = madd(widen<E>(v + offset, 0, mask), pv, a0);
        a1 = madd(widen<E>(v + offset, quarter, mask), pv, a1);
        p += 4;
      }
      v128.store(to, a0);
      v128.store(to, a1, 16);
    }
  }
}

/** Bytes that the scores of positions [start, end) take: whole panels. */
// @ts-ignore: decorator
@inline export function panelScores(start: i32, end: i32): usize {
  return <usize>(((end + 7) & ~7) - (start & ~7)) << 2;
}

/**
 * Heads [first, last) of one query row [H * d] into out [H * d]. keys and values point at the slot's first
 * key/value head; group = H / K query heads share one of them. `spans` holds the bounds (i32) of the `count` intervals.
 */
// @ts-ignore: decorator
@inline function attend<E>(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize,
): void {
  const width = <usize>headWidth, stored = (width + 7) & ~7;
  const headBytes = stored * <usize>capacity * sizeof<E>();
  const lastSpan = spans + (<usize>count << 3);
  const stride = (<usize>capacity + 8 + 16 * <usize>count) << 2;
  const sums = scratch + ((stored * RUN) << 2), scores = sums + ((stored * RUN) << 2);
  for (let head = first; head < last; ) {
    const kvHead = head / group;
    const sharing = min(last, (kvHead + 1) * group) - head;
    const run: usize = <usize>sharing >= RUN ? RUN : 1;
    const k = keys + <usize>kvHead * headBytes, v = values + <usize>kvHead * headBytes;
    const rowStart = query + ((<usize>head * width) << 2);
    for (let i: usize = 0; i < stored; i++) {
      for (let h: usize = 0; h < run; h++) {
        const value: f32 = i < width ? load<f32>(rowStart + ((h * width + i) << 2)) * scale : 0;
        store<f32>(scratch + ((i * run + h) << 2), value * rescale<E>());
      }
    }
    let to = scores;
    for (let span = spans; span < lastSpan; span += 8) {
      const start = load<i32>(span), end = load<i32>(span, 4);
      const at = to - (<usize>(start & ~7) << 2);
      if (run == RUN) scoreRun<E>(scratch, k, stored, start, end, at, stride);
      else scoreOne<E>(scratch, k, stored, start, end, at);
      to += panelScores(start, end);
    }
    let totals: v128 = f32x4.splat(exponentiate(scores, to, rescale<E>()));
    if (run == RUN) {
      totals = f32x4.replace_lane(totals, 1, exponentiate(scores + stride, to + stride, rescale<E>()));
      totals = f32x4.replace_lane(totals, 2, exponentiate(scores + 2 * stride, to + 2 * stride, rescale<E>()));
      totals = f32x4.replace_lane(totals, 3, exponentiate(scores + 3 * stride, to + 3 * stride, rescale<E>()));
    }
    memory.fill(sums, 0, run * (stored << 2));
    to = scores;
    for (let span = spans; span < lastSpan; span += 8) {
      const start = load<i32>(span), end = load<i32>(span, 4);
      const at = to - (<usize>(start & ~7) << 2);
      if (run == RUN) weighRun<E>(at, stride, v, stored, start, end, sums);
      else weighOne<E>(at, v, stored, start, end, sums);
      to += panelScores(start, end);
    }
    v128.store(scratch, f32x4.div(f32x4.splat(1), totals));
    for (let h: usize = 0; h < run; h++) {
      const inverse = load<f32>(scratch + (h << 2));
      const to = out + (((<usize>head + h) * width) << 2), from = sums + ((h * stored) << 2);
      for (let i: usize = 0; i < width << 2; i += 4) store<f32>(to + i, load<f32>(from + i) * inverse);
    }
    head += <i32>run;
  }
}

export function attention_f16_f32(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize,
): void {
  attend<u16>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, scratch);
}

export function attention_f32_f32(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize,
): void {
  attend<f32>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, scratch);
}
