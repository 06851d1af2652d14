// Turns rows of f32 activations into what the linear kernels read. Two shapes each:
//   row    one token, columns in order                               (decode)
//   tile   TILE tokens interleaved, so that one pointer walks them   (prefill)
// Formats:
//   i16   one scale per token (max / 32767), for 8-bit weights: 16 bytes of scales (one per token), then
//         pairs
//   i8    one scale per 32 columns (max / 127), for 4-bit weights: see layout.as.ts
//   f32   multiplied by `factor`, which is 2^60 for f16 weights (linear-float.as.ts) and 1 otherwise
// Tokens missing from the last tile read whatever the padded buffer holds; their outputs are never used.
import { largerMagnitude, largestLane } from "../lanes.as";
import { BLOCK, I8_BLOCK_BYTES, TILE } from "./layout.as";

// @ts-ignore: decorator
@inline function rowMaximum(x: usize, columns: i32): f32 {
  let largest = i32x4.splat(0);
  for (const end = x + ((<usize>columns) << 2); x < end; x += 16) largest = largerMagnitude(largest, v128.load(x));
  return largestLane(largest);
}

// @ts-ignore: decorator
@inline function roundScaled(x: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), inverse)));
}

// @ts-ignore: decorator
@inline function inverseOf(largest: f32, limit: f32): f32 {
  return largest == 0 ? 0 : limit / largest;
}

/** x [columns] -> 4 f32 scale slots (first used), then i16 [columns]; columns is a multiple of 32. */
export function activations_i16_row(x: usize, columns: i32, target: usize): void {
  const largest = rowMaximum(x, columns);
  store<f32>(target, largest / 32767);
  const inverse = f32x4.splat(inverseOf(largest, 32767));
  target += 16;
  for (const end = x + ((<usize>columns) << 2); x < end; x += 32) {
    v128.store(target, i16x8.narrow_i32x4_s(roundScaled(x, inverse), roundScaled(x + 16, inverse)));
    target += 16;
  }
}

/** x [TILE, columns] with row stride in bytes -> 4 scales, then [columns / 2][TILE][2] i16. */
export function activations_i16_tile(x: usize, stride: usize, columns: i32, target: usize): void {
  for (let t: usize = 0; t < TILE; t++) {
    let from = x + t * stride;
    const largest = rowMaximum(from, columns);
    store<f32>(target + t * 4, largest / 32767);
    const inverse = f32x4.splat(inverseOf(largest, 32767));
    let to = target + 16 + t * 4;
    for (const end = from + ((<usize>columns) << 2); from < end; from += 32) {
      const v = i16x8.narrow_i32x4_s(roundScaled(from, inverse), roundScaled(from + 16, inverse));
      v128.store_lane<i32>(to, v, 0);
      v128.store_lane<i32>(to, v, 1, 16);
      v128.store_lane<i32>(to, v, 2, 32);
      v128.store_lane<i32>(to, v, 3, 48);
      to += 64;
    }
  }
}

/** Eight consecutive values as signed bytes in the low half of the result. */
// @ts-ignore: decorator
@inline function bytes8(x: usize, inverse: v128): v128 {
  const words = i16x8.narrow_i32x4_s(roundScaled(x, inverse), roundScaled(x + 16, inverse));
  return i8x16.narrow_i16x8_s(words, words);
}

/**
 * Quantizes one block of 32 columns: 4 groups of 8 bytes at target + group * groupStride, then the tail at
 * `tail`: two i16 with -8 * (sum over columns 0, 1 mod 4) and -8 * (sum over columns 2, 3 mod 4), which undo
 * the offset of the stored nibbles, and the scale times 2^60 as f32 (kept far from the subnormal range,
 * because the f16 weight scales arrive times 2^-112).
 */
// @ts-ignore: decorator
@inline function quantizeBlock(x: usize, target: usize, groupStride: usize, tail: usize): void {
  let largest = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) largest = largerMagnitude(largest, v128.load(x + i));
  const maximum = largestLane(largest);
  const inverse = f32x4.splat(inverseOf(maximum, 127));
  // Lanes: (k0 + k1), (k2 + k3), (k4 + k5), (k6 + k7) of the groups so far.
  let sums = i32x4.splat(0);
  for (let group: usize = 0; group < 4; group++) {
    const words = i16x8.narrow_i32x4_s(roundScaled(x + group * 32, inverse), roundScaled(x + group * 32 + 16, inverse));
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(words));
    v128.store_lane<i64>(target + group * groupStride, i8x16.narrow_i16x8_s(words, words), 0);
  }
  store<i16>(tail, <i16>(-8 * (i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 2))));
  store<i16>(tail + 2, <i16>(-8 * (i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 3))));
  store<f32>(tail + 4, (maximum / 127) * 1152921504606846976.0);
}

/** x [columns] -> blocks of 32 bytes and their 8-byte tail. */
export function activations_i8_row(x: usize, columns: i32, target: usize): void {
  for (const end = x + ((<usize>columns) << 2); x < end; x += BLOCK * 4) {
    quantizeBlock(x, target, 8, target + 32);
    target += I8_BLOCK_BYTES;
  }
}

/** x [TILE, columns] -> per block [4 groups][TILE][8] bytes, then TILE tails of 8 bytes. */
export function activations_i8_tile(x: usize, stride: usize, columns: i32, target: usize): void {
  const blocks = <usize>columns / BLOCK;
  for (let t: usize = 0; t < TILE; t++) {
    const from = x + t * stride;
    for (let b: usize = 0; b < blocks; b++) {
      const to = target + b * (I8_BLOCK_BYTES * TILE);
      quantizeBlock(from + b * (BLOCK * 4), to + t * 8, TILE * 8, to + TILE * BLOCK + t * 8);
    }
  }
}

/** x [columns] -> f32 [columns] times factor. */
export function activations_f32_row(x: usize, columns: i32, factor: f32, target: usize): void {
  for (let k = 0; k < columns; k++) {
    store<f32>(target, load<f32>(x) * factor);
    x += 4;
    target += 4;
  }
}

/** x [TILE, columns] -> [columns][TILE] f32 times factor. */
export function activations_f32_tile(x: usize, stride: usize, columns: i32, factor: f32, target: usize): void {
  for (let k = 0; k < columns; k++) {
    for (let t: usize = 0; t < TILE; t++) store<f32>(target + t * 4, load<f32>(x + t * stride) * factor);
    x += 4;
    target += TILE * 4;
  }
}
