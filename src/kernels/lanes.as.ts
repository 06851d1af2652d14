// Vector building blocks shared by the kernels: 16-bit float loads, fused multiply-add, exp.
//
// f16 is widened without a table: sign-extend, shift the 15 low bits into f32's exponent and mantissa,
// keep the sign. The result is the value times 2^-112, exactly; callers multiply the other operand by
// HALF_SCALE once instead of rescaling every weight. Constants live in memory because V8 rebuilds
// vector literals in loops.

/** 2^112: undoes the exponent bias that widenHalf leaves. */
export const HALF_SCALE: f32 = 5.192296858534828e33;

const HALF_MASK = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);
const NIBBLE_MASK = memory.data<u32>([0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f], 16);
const ONES_I16 = memory.data<u32>([0x00010001, 0x00010001, 0x00010001, 0x00010001], 16);

// @ts-ignore: decorator
@inline export function halfMask(): v128 { return v128.load(HALF_MASK); }
// @ts-ignore: decorator
@inline export function nibbleMask(): v128 { return v128.load(NIBBLE_MASK); }
// @ts-ignore: decorator
@inline export function onesI16(): v128 { return v128.load(ONES_I16); }

/** Four f16 at p, as f32 times 2^-112. */
// @ts-ignore: decorator
@inline export function widenHalf(p: usize, offset: u32, mask: v128): v128 {
  return v128.and(i32x4.shl(v128.load16x4_s(p + offset), 13), mask);
}

/** a * b + c, fused where the module may use relaxed SIMD. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Sum of the four lanes, in the fixed order (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline export function sumLanes(v: v128): f32 {
  const pairs = f32x4.add(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/**
 * Magnitudes are compared as integers: the order is the same, one instruction does it, and NaN is above all,
 * so that it stays visible.
 */
// @ts-ignore: decorator
@inline export function largerMagnitude(largest: v128, v: v128): v128 {
  return i32x4.max_u(largest, f32x4.abs(v));
}

/** The largest of four such magnitudes. */
// @ts-ignore: decorator
@inline export function largestLane(v: v128): f32 {
  const pairs = i32x4.max_u(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(i32x4.max_u(pairs, v128.shuffle<i32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** The largest magnitude of exactly `count` values at x, or NaN where there is one. */
export function largestMagnitude(x: usize, count: i32): f32 {
  let largest = i32x4.splat(0);
  const whole = x + ((<usize>(count & ~3)) << 2), end = x + ((<usize>count) << 2);
  for (; x < whole; x += 16) largest = largerMagnitude(largest, v128.load(x));
  let most = largestLane(largest);
  for (; x < end; x += 4) most = max(most, abs(load<f32>(x)));
  return most;
}

/** sums + pairs of 16-bit products, added up two by two. */
// @ts-ignore: decorator
@inline export function addDot(sums: v128, a: v128, b: v128): v128 { return i32x4.add(sums, i32x4.dot_i16x8_s(a, b)); }

/**
 * 1.5 * 2^23: what is added to it is rounded to a whole number, ties to even,
 * which the lower bits of the sum are.
 */
export const ROUNDING: f32 = 12582912;

/** Eight f32 at p times `factor`, rounded to i16; `rounding` holds ROUNDING. */
// @ts-ignore: decorator
@inline export function roundToI16(p: usize, factor: v128, rounding: v128): v128 {
  const a = f32x4.add(f32x4.mul(v128.load(p), factor), rounding);
  const b = f32x4.add(f32x4.mul(v128.load(p, 16), factor), rounding);
  return v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}

// Constants of exp4, four lanes each: V8 would rebuild literals in every round of a loop.
const EXP = memory.data<f32>([
  -88.02969, -88.02969, -88.02969, -88.02969,
  88, 88, 88, 88,
  1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341,
  12582912, 12582912, 12582912, 12582912,
  -0.693359375, -0.693359375, -0.693359375, -0.693359375,
  2.12194440e-4, 2.12194440e-4, 2.12194440e-4, 2.12194440e-4,
  1.9875691500e-4, 1.9875691500e-4, 1.9875691500e-4, 1.9875691500e-4,
  1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3,
  8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3,
  4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2,
  1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1,
  5.0000001201e-1, 5.0000001201e-1, 5.0000001201e-1, 5.0000001201e-1,
  1, 1, 1, 1,
], 16);

/**
 * e^x per lane, relative error below 3e-7 for x in [-87, 88]; 0 below -87.7, e^88 above that range, NaN for NaN.
 * Range reduction x = n ln 2 + r with n rounded by adding 1.5 * 2^23, whose low bits then are n; after it the
 * polynomial of Cephes' expf. x is at least -127 ln 2, where n makes the power of two exactly 0. pmin and pmax are one
 * instruction each where min and max are eight.
 */
// @ts-ignore: decorator
@inline export function exp4(x: v128): v128 {
  const one = v128.load(EXP, 192), magic = v128.load(EXP, 48);
  const clamped = f32x4.pmin(f32x4.pmax(x, v128.load(EXP)), v128.load(EXP, 16));
  const shifted = madd(clamped, v128.load(EXP, 32), magic);
  const n = f32x4.sub(shifted, magic);
  let r = madd(n, v128.load(EXP, 64), clamped);
  r = madd(n, v128.load(EXP, 80), r);
  let p = madd(v128.load(EXP, 96), r, v128.load(EXP, 112));
  p = madd(p, r, v128.load(EXP, 128));
  p = madd(p, r, v128.load(EXP, 144));
  p = madd(p, r, v128.load(EXP, 160));
  p = madd(p, r, v128.load(EXP, 176));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), one);
  return f32x4.mul(p, i32x4.add(i32x4.shl(shifted, 23), one));
}
