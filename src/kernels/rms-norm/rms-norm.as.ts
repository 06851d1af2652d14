// rmsNorm over one row of f32, in `groups` equal parts that share a weight of width / groups entries.
import { sumLanes } from "../lanes.as";

/** 1 / sqrt(mean(x^2) + epsilon) over `bytes` of f32. */
// @ts-ignore: decorator
@inline export function inverseRms(x: usize, bytes: usize, epsilon: f32): f32 {
  const wide = bytes & ~15;
  let sums = f32x4.splat(0), tail: f32 = 0;
  for (let i: usize = 0; i < wide; i += 16) {
    const v = v128.load(x + i);
    sums = f32x4.add(sums, f32x4.mul(v, v));
  }
  for (let i = wide; i < bytes; i += 4) tail += load<f32>(x + i) * load<f32>(x + i);
  return <f32>1 / sqrt<f32>((sumLanes(sums) + tail) / <f32>(bytes >> 2) + epsilon);
}

/** out[g, i] = x[g, i] / sqrt(mean(x[g]^2) + epsilon) * weight[i]; out may be x. */
export function rms_norm_f32(x: usize, weight: usize, out: usize, width: i32, groups: i32, epsilon: f32): void {
  const bytes = <usize>(width / groups) << 2;
  const wide = bytes & ~15;
  for (let group = 0; group < groups; group++) {
    const factor = inverseRms(x, bytes, epsilon);
    const factors = f32x4.splat(factor);
    for (let i: usize = 0; i < wide; i += 16) {
      v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), factors), v128.load(weight + i)));
    }
    for (let i = wide; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) * factor * load<f32>(weight + i));
    x += bytes;
    out += bytes;
  }
}
