// Several tokens at once: the product is dense, so a panel of 8 rows is gathered from the columns into scratch, in the
// layout of ../linear/layout.as.ts, and the dense tile kernels do the rest. Gathering is shared by all tiles of a step.
import { activations_i16_tile } from "../linear/activations.as";
import { BLOCK, Q8_BLOCK_BYTES, TILE } from "../linear/layout.as";

/** f16 1.0 twice: the columns' own scales are folded into the activations. */
const UNIT_SCALES: u32 = 0x3c003c00;

/** Pairs of 16 bits, two columns side by side, to codes: an odd row's is one more than its byte where the even row is negative. */
// @ts-ignore: decorator
@inline function codes(v: v128): v128 {
  return i8x16.sub(v, i32x4.shl(i8x16.lt_s(v, i8x16.splat(0)), 16));
}

/** 8 rows at p, one column every `stride` bytes, to a q8 panel of whole blocks; missing columns are zero. */
export function gather_panel_q8(p: usize, stride: usize, columns: usize, target: usize): void {
  const blocks = (columns + BLOCK - 1) / BLOCK;
  for (let block: usize = 0; block < blocks; block++) {
    v128.store(target, i32x4.splat(UNIT_SCALES));
    for (let pair: usize = 0; pair < BLOCK / 2; pair++) {
      const column = block * BLOCK + pair * 2;
      const a = column < columns ? v128.load64_zero(p) : i32x4.splat(0);
      const b = column + 1 < columns ? v128.load64_zero(p + stride) : i32x4.splat(0);
      v128.store(target + 16 + pair * 16, codes(v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)));
      p += stride * 2;
    }
    target += Q8_BLOCK_BYTES;
  }
}

/** 8 rows of `bytes` bytes (16 or 32) at p, one column every `stride` bytes, to a float panel. */
export function gather_panel_float(p: usize, stride: usize, columns: usize, bytes: usize, target: usize): void {
  for (let column: usize = 0; column < columns; column++) {
    v128.store(target, v128.load(p));
    if (bytes == 32) v128.store(target, v128.load(p, 16), 16);
    p += stride;
    target += bytes;
  }
}

/**
 * 8 rows of 4-bit columns to a panel of f32: `shares` is the rows' share in column 0, `nibbles` their 8 bytes, of which the
 * high halves are meant if `upper`; scales are the columns'.
 */
export function gather_panel_q4(
  shares: usize, nibbles: usize, upper: bool, stride: usize, columns: usize, scales: usize, target: usize,
): void {
  const mask = i8x16.splat(15), eight = i8x16.splat(8), shift: i32 = upper ? 4 : 0;
  for (let column: usize = 0; column < columns; column++) {
    const bytes = v128.and(i16x8.shr_u(v128.load64_zero(nibbles), shift), mask);
    const values = i16x8.extend_low_i8x16_s(i8x16.sub(bytes, eight));
    const scale = f32x4.splat(<f32>load<u8>(shares) * load<f32>(scales + (column << 2)));
    v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(values)), scale));
    v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(values)), scale), 16);
    shares += stride;
    nibbles += stride;
    target += 32;
  }
}

/** x [TILE, columns] times the columns' scales -> i16 tile of whole blocks; scratch holds TILE rows of floats. */
export function column_activations_i16_tile(
  x: usize, xStride: usize, columns: usize, scales: usize, target: usize, scratch: usize,
): void {
  const padded = (columns + BLOCK - 1) & ~(BLOCK - 1);
  for (let t: usize = 0; t < TILE; t++) {
    const from = x + t * xStride, to = scratch + t * (padded << 2);
    for (let k: usize = 0; k < columns; k++) store<f32>(to + (k << 2), load<f32>(from + (k << 2)) * load<f32>(scales + (k << 2)));
    for (let k = columns; k < padded; k++) store<f32>(to + (k << 2), 0);
  }
  activations_i16_tile(scratch, padded << 2, <i32>padded, target);
}
