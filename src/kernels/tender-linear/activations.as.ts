// Activations of tenderLinear: pre-shifted integers x' = clamp(round((x - bias) * 2^-e / s), -limit,
// limit) * 2^e. The bias, e and s are static tables of the token's row chunk (Tender, arXiv 2406.12930), or s
// is max|x| / limit of the token and e and bias are zeros. Four f32 operations per value, each rounded as the
// reference rounds it.
//   t16   header, then per 8 columns the pairs (0,2) (4,6) (1,3) (5,7) as i16; a tile interleaves TILE tokens
//         by pair. That is the order in which shifts by 0, 4, 8 and 12 take 4-bit weights out of 16-bit
//         lanes.
//   t8    header, then blocks of 32 bytes as in linear/activations.as.ts (i8), for 4-bit weights; a block's
//         tail has the offset correction and the power of two that its sums count, as a pair of i16: 1 where
//         codes carry their exponents themselves, 2^e where columns lie in the order of channel groups and
//         codes are plain bytes
//   split of one token, for 4-bit weights: header, then blocks of 72 bytes; per 8 columns the low and the
//         high bytes of their codes, at the end -8 * sum(low) and -8 * sum(high) as two i16 each. In tiles,
//         t16.
// Without relaxed SIMD t8 and split are t16 (../tape/tender.as.ts).
// The header has, per token of the tile, the scale s, the chunk, and -8 * sum(x'), which undoes the
// offset of nibbles. Columns beyond the matrix (up to the block) take whatever follows in memory;
// their weights are zero.
import { largestMagnitude, onesI16 } from "../lanes.as";
import { BLOCK, I8_BLOCK_BYTES, SPLIT_BLOCK_BYTES, TENDER_HEADER_BYTES, TILE } from "../linear/layout.as";

/** From one tile to the next. */
export function tileBytesT16(columns: i32): usize { return TENDER_HEADER_BYTES + ((<usize>columns) << 1) * TILE; }

/** Closer than t16's: as far apart, tiles of bytes made batches 3 % slower. */
export function tileBytesT8(columns: i32): usize { return TENDER_HEADER_BYTES + ((<usize>columns) >> 5) * I8_BLOCK_BYTES * TILE; }

// @ts-ignore: decorator
@inline function sumInts(v: v128): i32 {
  const pairs = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

// 1.5 * 2^23, which rounds what is added to it and whose low bits then are the sum's; and 1,
// whose exponent others move.
const ROUNDING = memory.data<f32>([12582912, 12582912, 12582912, 12582912], 16);
const ONE = memory.data<f32>([1, 1, 1, 1], 16);

/**
 * Codes before their shift as whole floats plus 1.5 * 2^23; NaN becomes 0.
 * pmin and pmax are one instruction where min is eight.
 */
// @ts-ignore: decorator
@inline function roundCodes(scaled: v128, limit: v128): v128 {
  const number = v128.and(scaled, f32x4.eq(scaled, scaled));
  return f32x4.add(f32x4.pmax(f32x4.pmin(number, limit), f32x4.neg(limit)), v128.load(ROUNDING));
}

/** Four values as integers x'. */
// @ts-ignore: decorator
@inline function quantize4(x: usize, bias: usize, exponents: usize, inverse: v128, limit: v128): v128 {
  const rounding = v128.load(ROUNDING), one = v128.load(ONE);
  const moved = i32x4.shl(f32x4.add(v128.load(exponents), rounding), 23);
  const scaled = f32x4.mul(f32x4.sub(v128.load(x), v128.load(bias)), f32x4.mul(inverse, i32x4.sub(one, moved)));
  const code = f32x4.sub(roundCodes(scaled, limit), rounding);
  return i32x4.sub(f32x4.add(f32x4.mul(code, i32x4.add(one, moved)), rounding), rounding);
}

/** Eight values in the order 0 2 4 6 1 3 5 7. */
// @ts-ignore: decorator
@inline function quantize8(x: usize, bias: usize, exponents: usize, inverse: v128, limit: v128): v128 {
  const words = i16x8.narrow_i32x4_s(
    quantize4(x, bias, exponents, inverse, limit), quantize4(x + 16, bias + 16, exponents + 16, inverse, limit),
  );
  return v128.shuffle<i16>(words, words, 0, 2, 4, 6, 1, 3, 5, 7);
}

/**
 * One token; `slot` is its index in the tile, `step` the distance of pairs (4 for a row,
 * 4 * TILE for a tile).
 */
// @ts-ignore: decorator
@inline function quantizeT16(
  x: usize, columns: usize, bias: usize, exponents: usize, inverse: f32, limit: f32, target: usize, slot: usize, step: usize,
): void {
  const factor = f32x4.splat(inverse), most = f32x4.splat(limit), ones = onesI16();
  let sums = i32x4.splat(0), to = target + TENDER_HEADER_BYTES + slot * 4;
  for (let k: usize = 0; k < columns * 4; k += 32) {
    const v = quantize8(x + k, bias + k, exponents + k, factor, most);
    sums = i32x4.add(sums, i32x4.dot_i16x8_s(v, ones));
    storePairs(to, v, step);
    to += 4 * step;
  }
  store<i32>(target + 32 + slot * 4, -8 * sumInts(sums));
}

// @ts-ignore: decorator
@inline function storePairs(to: usize, v: v128, step: usize): void {
  v128.store_lane<i32>(to, v, 0);
  v128.store_lane<i32>(to + step, v, 1);
  v128.store_lane<i32>(to + 2 * step, v, 2);
  v128.store_lane<i32>(to + 3 * step, v, 3);
}

/** One token as bytes; group and tail distances as in linear/activations.as.ts. */
// @ts-ignore: decorator
@inline function quantizeT8(
  x: usize, columns: usize, bias: usize, exponents: usize, inverse: f32, limit: f32, target: usize, slot: usize, tokens: usize,
): void {
  const factor = f32x4.splat(inverse), most = f32x4.splat(limit);
  let block = target + TENDER_HEADER_BYTES;
  for (let k: usize = 0; k < columns * 4; k += BLOCK * 4) {
    // Lanes: columns 0 + 1, 2 + 3, 4 + 5, 6 + 7 of the groups so far.
    let sums = i16x8.splat(0);
    for (let group: usize = 0; group < 4; group++) {
      const from = k + group * 32;
      const words = i16x8.narrow_i32x4_s(
        quantize4(x + from, bias + from, exponents + from, factor, most),
        quantize4(x + from + 16, bias + from + 16, exponents + from + 16, factor, most),
      );
      const bytes = i8x16.narrow_i16x8_s(words, words);
      sums = i16x8.add(sums, i16x8.extadd_pairwise_i8x16_s(bytes));
      v128.store_lane<i64>(block + (group * tokens + slot) * 8, bytes, 0);
    }
    const tail = block + tokens * BLOCK + slot * 8;
    storeCorrection(tail, sums);
    store<i32>(tail + 4, 0x00010001);
    block += tokens * I8_BLOCK_BYTES;
  }
}

/** The values of four places of the order, as they lie at `from`. */
// @ts-ignore: decorator
@inline function gather4(from: usize, order: usize): v128 {
  let v = v128.load32_zero(from + load<u32>(order));
  v = v128.load32_lane(from + load<u32>(order + 4), v, 1);
  v = v128.load32_lane(from + load<u32>(order + 8), v, 2);
  return v128.load32_lane(from + load<u32>(order + 12), v, 3);
}

/** Four places as codes without their exponent; `factor` is 1 / s * 2^-e. */
// @ts-ignore: decorator
@inline function quantizePlaces4(x: usize, bias: usize, order: usize, factor: v128, limit: v128): v128 {
  const scaled = f32x4.mul(f32x4.sub(gather4(x, order), gather4(bias, order)), factor);
  return i32x4.sub(roundCodes(scaled, limit), v128.load(ROUNDING));
}

// @ts-ignore: decorator
@inline function quantizePlaces(x: usize, bias: usize, order: usize, factor: v128, limit: v128): v128 {
  return i16x8.narrow_i32x4_s(
    quantizePlaces4(x, bias, order, factor, limit), quantizePlaces4(x, bias, order + 16, factor, limit),
  );
}

// @ts-ignore: decorator
@inline function powerOfTwo(exponent: i32): f32 {
  return reinterpret<f32>((127 + exponent) << 23);
}

/**
 * One token as bytes in the order of channel groups. Blocks begin with a column; at padding stands what
 * follows the row, whose weights are zero.
 */
function quantizeT8Ordered(
  x: usize, places: i32, order: usize, bias: usize, exponents: usize, inverse: f32, limit: f32, target: usize, slot: usize,
  tokens: usize,
): void {
  const most = f32x4.splat(limit);
  let block = target + TENDER_HEADER_BYTES;
  for (const end = order + ((<usize>places) << 2); order < end; ) {
    const exponent = <i32>load<f32>(exponents + load<u32>(order));
    const factor = f32x4.splat(inverse * powerOfTwo(-exponent));
    let sums = i16x8.splat(0);
    for (let group: usize = 0; group < 4; group++) {
      const words = quantizePlaces(x, bias, order, factor, most);
      const bytes = i8x16.narrow_i16x8_s(words, words);
      sums = i16x8.add(sums, i16x8.extadd_pairwise_i8x16_s(bytes));
      v128.store_lane<i64>(block + (group * tokens + slot) * 8, bytes, 0);
      order += 32;
    }
    const tail = block + tokens * BLOCK + slot * 8;
    storeCorrection(tail, sums);
    store<i32>(tail + 4, 0x00010001 << exponent);
    block += tokens * I8_BLOCK_BYTES;
  }
}

/** The same as t16, for engines without relaxed SIMD. */
function quantizeT16Ordered(
  x: usize, places: i32, order: usize, bias: usize, exponents: usize, inverse: f32, limit: f32, target: usize, slot: usize,
  step: usize,
): void {
  const most = f32x4.splat(limit), ones = onesI16();
  let sums = i32x4.splat(0), to = target + TENDER_HEADER_BYTES + slot * 4;
  for (const end = order + ((<usize>places) << 2); order < end; ) {
    const exponent = <i32>load<f32>(exponents + load<u32>(order));
    const factor = f32x4.splat(inverse * powerOfTwo(-exponent));
    for (const blockEnd = order + 4 * BLOCK; order < blockEnd; order += 32) {
      const words = i16x8.shl(quantizePlaces(x, bias, order, factor, most), exponent);
      sums = i32x4.add(sums, i32x4.dot_i16x8_s(words, ones));
      storePairs(to, v128.shuffle<i16>(words, words, 0, 2, 4, 6, 1, 3, 5, 7), step);
      to += 4 * step;
    }
  }
  store<i32>(target + 32 + slot * 4, -8 * sumInts(sums));
}

/** -8 times the sums of a block, in i16: lanes hold columns 0 + 1, 2 + 3, 4 + 5, 6 + 7 of its groups. */
// @ts-ignore: decorator
@inline function storeCorrection(target: usize, sums: v128): void {
  store<i16>(target, <i16>(-8 * (<i32>i16x8.extract_lane_s(sums, 0) + <i32>i16x8.extract_lane_s(sums, 2))));
  store<i16>(target + 2, <i16>(-8 * (<i32>i16x8.extract_lane_s(sums, 1) + <i32>i16x8.extract_lane_s(sums, 3))));
}

/** One token as halves of codes. */
function quantizeSplit(
  x: usize, columns: usize, bias: usize, exponents: usize, inverse: f32, limit: f32, target: usize,
): void {
  const factor = f32x4.splat(inverse), most = f32x4.splat(limit);
  let block = target + TENDER_HEADER_BYTES;
  for (let k: usize = 0; k < columns * 4; k += BLOCK * 4) {
    let sums = i16x8.splat(0);
    for (let group: usize = 0; group < 4; group++) {
      const from = k + group * 32;
      const words = i16x8.narrow_i32x4_s(
        quantize4(x + from, bias + from, exponents + from, factor, most),
        quantize4(x + from + 16, bias + from + 16, exponents + from + 16, factor, most),
      );
      const low = i16x8.shr_s(i16x8.shl(words, 8), 8);
      const bytes = i8x16.narrow_i16x8_s(low, i16x8.shr_s(i16x8.sub(words, low), 8));
      sums = i16x8.add(sums, i16x8.extadd_pairwise_i8x16_s(bytes));
      v128.store(block + group * 16, bytes);
    }
    storeCorrection(block + 64, sums);
    storeCorrection(block + 68, v128.shuffle<i64>(sums, sums, 1, 0));
    block += SPLIT_BLOCK_BYTES;
  }
}

/** Scale and chunk of a token into the header. */
// @ts-ignore: decorator
@inline function putHeader(target: usize, slot: usize, scale: f32, chunk: i32): void {
  store<f32>(target + slot * 4, scale);
  store<i32>(target + 16 + slot * 4, chunk);
}

export function activations_t16_row(
  x: usize, columns: i32, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize,
): void {
  putHeader(target, 0, scale, chunk);
  quantizeT16(x, columns, bias, exponents, inverse, limit, target, 0, 4);
}

export function activations_t16_tile(
  x: usize, columns: i32, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize, slot: usize,
): void {
  putHeader(target, slot, scale, chunk);
  quantizeT16(x, columns, bias, exponents, inverse, limit, target, slot, 4 * TILE);
}

export function activations_split_row(
  x: usize, columns: i32, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize,
): void {
  putHeader(target, 0, scale, chunk);
  quantizeSplit(x, columns, bias, exponents, inverse, limit, target);
}

export function activations_t8_row(
  x: usize, columns: i32, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize,
): void {
  putHeader(target, 0, scale, chunk);
  quantizeT8(x, columns, bias, exponents, inverse, limit, target, 0, 1);
}

export function activations_t8_tile(
  x: usize, columns: i32, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize, slot: usize,
): void {
  putHeader(target, slot, scale, chunk);
  quantizeT8(x, columns, bias, exponents, inverse, limit, target, slot, TILE);
}

/** One of `tokens` tokens, columns in the order of channel groups; t16 without relaxed SIMD. */
export function activations_t8_ordered(
  x: usize, places: i32, order: usize, bias: usize, exponents: usize, scale: f32, inverse: f32, limit: f32, chunk: i32, target: usize,
  slot: usize, tokens: usize,
): void {
  putHeader(target, slot, scale, chunk);
  if (ASC_FEATURE_RELAXED_SIMD) quantizeT8Ordered(x, places, order, bias, exponents, inverse, limit, target, slot, tokens);
  else quantizeT16Ordered(x, places, order, bias, exponents, inverse, limit, target, slot, 4 * tokens);
}
