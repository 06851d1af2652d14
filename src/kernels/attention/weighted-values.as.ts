// The second half of attention: cached values weighted by probabilities. Sums run over positions in order, within a span and
// from span to span. Values of floats: row by row (store-key-value/layout.as.ts).
import { halfMask, madd } from "../lanes.as";
import { claimAhead, START, touch, touchStart } from "./claim.as";
import { widen } from "./scores.as";

/** Positions whose values stay in the first-level cache while all columns of the sums pass over them. */
const VALUE_BLOCK: usize = 32;

/**
 * sums[h][i] += sum over positions of probability[h][position] * value[position][i], 4 heads. Values before `ready` are near
 * already. While the last positions are read, what was planned is claimed, by each of `runs` runs its share.
 */
// @ts-ignore: decorator
@inline export function weighRun<E>(
  scores: usize, stride: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize, ready: usize, runs: usize,
): void {
  const mask = halfMask();
  const rowBytes = stored * sizeof<E>(), half = <u32>(4 * sizeof<E>());
  const sumBytes = stored << 2, claimed = VALUE_BLOCK * 8 * sizeof<E>() / runs;
  for (let block = <usize>start; block < <usize>end; block += VALUE_BLOCK) {
    const blockStart = values + block * rowBytes, blockEnd = values + min(block + VALUE_BLOCK, <usize>end) * rowBytes;
    if (blockEnd > ready) touch(blockStart, blockEnd - blockStart);
    const ending = block + START >= <usize>end;
    for (let i: usize = 0; i < stored; i += 8) {
      if (ending) claimAhead(claimed);
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

/**
 * weighRun for 1 head, two rows at a time: one alone would load and store the sums twice as often, and more are
 * read as so many runs of memory, which the processor does not follow.
 */
// @ts-ignore: decorator
@inline export function weighOne<E>(scores: usize, values: usize, stored: usize, start: i32, end: i32, sums: usize): void {
  const mask = halfMask();
  const rowBytes = stored * sizeof<E>(), half = <u32>(4 * sizeof<E>()), step = 8 * sizeof<E>();
  const last = values + <usize>end * rowBytes;
  let v = values + <usize>start * rowBytes, p = scores + (<usize>start << 2);
  touchStart(v, last - v);
  for (; v + rowBytes < last; v += rowBytes) {
    const p0 = v128.load32_splat(p), p1 = v128.load32_splat(p, 4);
    let to = sums;
    for (const rowEnd = v + rowBytes; v < rowEnd; v += step) {
      const a0 = madd(widen<E>(v, 0, mask), p0, v128.load(to)), a1 = madd(widen<E>(v, half, mask), p0, v128.load(to, 16));
      v128.store(to, madd(widen<E>(v + rowBytes, 0, mask), p1, a0));
      v128.store(to, madd(widen<E>(v + rowBytes, half, mask), p1, a1), 16);
      to += 32;
    }
    p += 8;
  }
  if (v < last) {
    const p0 = v128.load32_splat(p);
    let to = sums;
    for (; v < last; v += step) {
      v128.store(to, madd(widen<E>(v, 0, mask), p0, v128.load(to)));
      v128.store(to, madd(widen<E>(v, half, mask), p0, v128.load(to, 16)), 16);
      to += 32;
    }
  }
}
