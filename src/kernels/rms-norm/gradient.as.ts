// Gradients of rmsNorm. The weight's gradient sums over rows: the inverse root mean squares are computed once
// per row and group, then every thread walks all rows in order for its own columns.
import { sumLanes } from "../lanes.as";
import { inverseRms } from "./rms-norm.as";

/** dx (+)= r (w dy) - x r^3 mean(x w dy) for each group of one row. */
export function rms_norm_input_gradient_f32(
  x: usize, weight: usize, dy: usize, dx: usize, width: i32, groups: i32, epsilon: f32, accumulate: bool,
): void {
  const bytes = <usize>(width / groups) << 2, wide = bytes & ~15;
  for (let group = 0; group < groups; group++) {
    let products = f32x4.splat(0), tail: f32 = 0;
    for (let i: usize = 0; i < wide; i += 16) {
      products = f32x4.add(products, f32x4.mul(f32x4.mul(v128.load(x + i), v128.load(weight + i)), v128.load(dy + i)));
    }
    for (let i = wide; i < bytes; i += 4) tail += load<f32>(x + i) * load<f32>(weight + i) * load<f32>(dy + i);
    const inverse = inverseRms(x, bytes, epsilon);
    const shrink = ((sumLanes(products) + tail) / <f32>(bytes >> 2)) * inverse * inverse * inverse;
    const inverses = f32x4.splat(inverse), shrinks = f32x4.splat(shrink);
    for (let i: usize = 0; i < wide; i += 16) {
      const grown = f32x4.mul(f32x4.mul(v128.load(weight + i), v128.load(dy + i)), inverses);
      const value = f32x4.sub(grown, f32x4.mul(v128.load(x + i), shrinks));
      v128.store(dx + i, accumulate ? f32x4.add(v128.load(dx + i), value) : value);
    }
    for (let i = wide; i < bytes; i += 4) {
      const value = load<f32>(weight + i) * load<f32>(dy + i) * inverse - load<f32>(x + i) * shrink;
      store<f32>(dx + i, accumulate ? load<f32>(dx + i) + value : value);
    }
    x += bytes;
    dy += bytes;
    dx += bytes;
  }
}

/** inverses [groups]: 1 / rms of each group of one row. */
export function rms_norm_inverses_f32(x: usize, inverses: usize, width: i32, groups: i32, epsilon: f32): void {
  const bytes = <usize>(width / groups) << 2;
  for (let group: usize = 0; group < <usize>groups; group++) {
    store<f32>(inverses + (group << 2), inverseRms(x + group * bytes, bytes, epsilon));
  }
}

/** dWeight[c] += dy[c] x[c] inverse for the columns [first, last) of every group of one row. */
export function rms_norm_weight_gradient_f32(
  x: usize, dy: usize, inverses: usize, dWeight: usize, width: i32, groups: i32, first: i32, last: i32,
): void {
  const bytes = <usize>(width / groups) << 2, from = <usize>first << 2, end = <usize>last << 2;
  for (let group = 0; group < groups; group++) {
    const inverse = load<f32>(inverses), wide = f32x4.splat(inverse);
    let i = from;
    for (; i + 16 <= end; i += 16) {
      const value = f32x4.mul(f32x4.mul(v128.load(dy + i), v128.load(x + i)), wide);
      v128.store(dWeight + i, f32x4.add(v128.load(dWeight + i), value));
    }
    for (; i < end; i += 4) {
      store<f32>(dWeight + i, load<f32>(dWeight + i) + load<f32>(dy + i) * load<f32>(x + i) * inverse);
    }
    x += bytes;
    dy += bytes;
    inverses += 4;
  }
}
