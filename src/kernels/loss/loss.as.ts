// Losses on one row of logits and their gradients (reference.ts has the formulas). Rows are padded to whole
// vectors; the padding is set to minus infinity first, where exponentials vanish.
import { exp4, sumLanes } from "../lanes.as";

// @ts-ignore: decorator
@inline function hidePadding(row: usize, width: i32): void {
  for (let i = width; i < ((width + 3) & ~3); i++) store<f32>(row + (<usize>i << 2), -Infinity);
}

// @ts-ignore: decorator
@inline function largestOf(row: usize, bytes: usize): f32 {
  let m = f32x4.splat(-Infinity);
  for (let i: usize = 0; i < bytes; i += 16) m = f32x4.max(m, v128.load(row + i));
  m = f32x4.max(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1));
  return max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1));
}

/** target = e^((row - largest) / temperature); returns the sum. */
// @ts-ignore: decorator
@inline function exponentials(row: usize, target: usize, bytes: usize, largest: f32, inverse: f32): f32 {
  const shift = f32x4.splat(largest), scale = f32x4.splat(inverse);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const e = exp4(f32x4.mul(f32x4.sub(v128.load(row + i), shift), scale));
    v128.store(target + i, e);
    sums = f32x4.add(sums, e);
  }
  return sumLanes(sums);
}

/** Writes the gradient, returns the loss. */
export function cross_entropy_f32(logits: usize, gradient: usize, target: i32, width: i32, weight: f32): f32 {
  hidePadding(logits, width);
  const bytes = (<usize>width << 2) + 15 & ~15;
  const largest = largestOf(logits, bytes);
  const total = exponentials(logits, gradient, bytes, largest, 1);
  const factor = f32x4.splat(weight / total);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(gradient + i, f32x4.mul(v128.load(gradient + i), factor));
  const at = <usize>target << 2;
  store<f32>(gradient + at, load<f32>(gradient + at) - weight);
  return Mathf.log(total) - (load<f32>(logits + at) - largest);
}

/** Writes the gradient, returns the loss. `scratch` holds one row. */
export function distillation_f32(
  logits: usize, teacher: usize, gradient: usize, width: i32, temperature: f32, weight: f32, scratch: usize,
): f32 {
  hidePadding(logits, width);
  hidePadding(teacher, width);
  const bytes = (<usize>width << 2) + 15 & ~15, inverse = <f32>1 / temperature;
  const largest = largestOf(logits, bytes), teacherLargest = largestOf(teacher, bytes);
  const total = exponentials(logits, gradient, bytes, largest, inverse);
  const teacherTotal = exponentials(teacher, scratch, bytes, teacherLargest, inverse);
  // ln p - ln q = (teacher - student) / temperature + shift
  const shift = (largest - teacherLargest) * inverse + Mathf.log(total) - Mathf.log(teacherTotal);
  let divergence: f64 = 0;
  const q = <f32>1 / total, p = <f32>1 / teacherTotal, scale = weight * temperature;
  for (let i: usize = 0; i < <usize>width << 2; i += 4) {
    const probability = load<f32>(scratch + i) * p;
    const distance = (load<f32>(teacher + i) - load<f32>(logits + i)) * inverse + shift;
    divergence += <f64>(probability * distance);
    store<f32>(gradient + i, scale * (load<f32>(gradient + i) * q - probability));
  }
  return <f32>divergence * temperature * temperature;
}

/** gradient += weight sign(x); returns the sum of |x| of one row. */
export function l1_gradient_f32(x: usize, gradient: usize, width: i32, weight: f32): f32 {
  const bytes = <usize>width << 2, wide = bytes & ~15;
  const sign = i32x4.splat(0x80000000), weights = f32x4.splat(weight), zero = f32x4.splat(0);
  let sums = zero, tail: f32 = 0;
  for (let i: usize = 0; i < wide; i += 16) {
    const v = v128.load(x + i);
    const signed = v128.or(weights, v128.and(v, sign));
    sums = f32x4.add(sums, f32x4.abs(v));
    v128.store(gradient + i, f32x4.add(v128.load(gradient + i), v128.and(signed, f32x4.ne(v, zero))));
  }
  for (let i = wide; i < bytes; i += 4) {
    const v = load<f32>(x + i);
    tail += abs(v);
    store<f32>(gradient + i, load<f32>(gradient + i) + (v > 0 ? weight : v < 0 ? -weight : 0));
  }
  return sumLanes(sums) + tail;
}
