// The softmax of a head's scores, which lie panel after panel, interval after interval.
import { exp4, sumLanes } from "../lanes.as";

/** Bytes that the scores of positions [start, end) take: whole panels. */
// @ts-ignore: decorator
@inline export function panelScores(start: i32, end: i32): usize {
  return <usize>(((end + 7) & ~7) - (start & ~7)) << 2;
}

/** The largest of the scores in [from, to), in all lanes. */
// @ts-ignore: decorator
@inline export function largestScore(from: usize, to: usize): v128 {
  let largest = f32x4.splat(-Infinity);
  for (let p = from; p < to; p += 16) largest = f32x4.pmax(largest, v128.load(p));
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  return f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
}

/** Replaces scores by e^(score - max) * factor; returns the sum of the unscaled exponentials. */
// @ts-ignore: decorator
@inline export function exponentiate(from: usize, to: usize, factor: f32): f32 {
  const largest = largestScore(from, to), factors = f32x4.splat(factor);
  let sums = f32x4.splat(0);
  for (let p = from; p < to; p += 16) {
    const e = exp4(f32x4.sub(v128.load(p), largest));
    sums = f32x4.add(sums, e);
    v128.store(p, f32x4.mul(e, factors));
  }
  return sumLanes(sums);
}
