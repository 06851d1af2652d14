// Blocked f32 matrix product C (+)= A B after Goto and van de Geijn 2008: panels of B packed once for all
// threads, blocks of A packed per thread, tiles of 6 x 8 results in registers (twelve sums, two values of B,
// one of A) and of 4 x 8 for what rows remain. Packing takes either operand transposed, so one kernel
// serves y = x W^T, dx = dy W and dW = dy^T x. Every result is one chain of multiply-adds over the reduction
// in order, whatever the number of threads.
//
// Packed B: for every block of REDUCTION_BLOCK steps, panels of [steps][8]. Packed A: panels of [steps][6] or
// [steps][4]. Reads may run past the last row or column up to a whole panel; the values are never used.
import { madd } from "../lanes.as";
import { REDUCTION_BLOCK, ROW_BLOCK } from "../training-layout";

/** Stores rows r0..r3, four values each, as columns at `to`, `step` bytes apart. */
// @ts-ignore: decorator
@inline function storeTransposed(to: usize, step: usize, r0: v128, r1: v128, r2: v128, r3: v128): void {
  const a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5), b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7), d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(a, b, 0, 1, 4, 5));
  v128.store(to + step, v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  v128.store(to + 2 * step, v128.shuffle<f32>(c, d, 0, 1, 4, 5));
  v128.store(to + 3 * step, v128.shuffle<f32>(c, d, 2, 3, 6, 7));
}

/** Four rows of `count` values, `stride` bytes apart, to [count] groups of 4 that lie `step` bytes apart. */
export function transpose_rows_f32(source: usize, stride: usize, count: i32, target: usize, step: usize): void {
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    storeTransposed(
      target, step,
      v128.load(source), v128.load(source + stride), v128.load(source + 2 * stride), v128.load(source + 3 * stride),
    );
    source += 16;
    target += 4 * step;
  }
  for (; k < count; k++) {
    for (let row: usize = 0; row < 4; row++) store<f32>(target + (row << 2), load<f32>(source + row * stride));
    source += 4;
    target += step;
  }
}

/**
 * Packs the panels [first, last) of B [steps, columns]. Element (k, n) lies at source + k stride + 4 n, or,
 * transposed, at source + n stride + 4 k.
 */
export function pack_columns_f32(
  source: usize, stride: usize, transposed: bool, steps: i32, panels: i32, first: i32, last: i32, target: usize,
): void {
  for (let block = 0; block < steps; block += REDUCTION_BLOCK) {
    const length = min(REDUCTION_BLOCK, steps - block);
    for (let panel = first; panel < last; panel++) {
      let to = target + ((<usize>block * <usize>panels + <usize>panel * <usize>length) << 5);
      if (transposed) {
        const from = source + (<usize>panel << 3) * stride + (<usize>block << 2);
        transpose_rows_f32(from, stride, length, to, 32);
        transpose_rows_f32(from + 4 * stride, stride, length, to + 16, 32);
      } else {
        let from = source + <usize>block * stride + (<usize>panel << 5);
        for (let k = 0; k < length; k++) {
          v128.store(to, v128.load(from));
          v128.store(to, v128.load(from, 16), 16);
          from += stride;
          to += 32;
        }
      }
    }
  }
}

/**
 * Rows of the next panel of A when a multiple of 4 remain at first:
 * 6 as long as what is left then divides again.
 */
// @ts-ignore: decorator
@inline function panelHeight(remaining: i32): i32 {
  return remaining == 4 || remaining == 8 ? 4 : 6;
}

/** Six rows of `count` values, `stride` bytes apart, to [count] groups of 6. */
function transposeSix(source: usize, stride: usize, count: i32, target: usize): void {
  transpose_rows_f32(source, stride, count, target, 24);
  let r4 = source + 4 * stride, r5 = r4 + stride, to = target + 16, k = 0;
  for (; k + 4 <= count; k += 4) {
    const a = v128.load(r4), b = v128.load(r5);
    const low = v128.shuffle<f32>(a, b, 0, 4, 1, 5), high = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    v128.store_lane<i64>(to, low, 0);
    v128.store_lane<i64>(to + 24, low, 1);
    v128.store_lane<i64>(to + 48, high, 0);
    v128.store_lane<i64>(to + 72, high, 1);
    r4 += 16;
    r5 += 16;
    to += 96;
  }
  for (; k < count; k++) {
    store<f32>(to, load<f32>(r4));
    store<f32>(to + 4, load<f32>(r5));
    r4 += 4;
    r5 += 4;
    to += 24;
  }
}

/**
 * Packs `rows` rows (a multiple of 4) of A [rows, length]; element (m, k) lies at m stride + 4 k or,
 * transposed, k stride + 4 m.
 */
function packRows(source: usize, stride: usize, transposed: bool, rows: i32, length: i32, target: usize): void {
  for (let row = 0; row < rows; ) {
    const height = panelHeight(rows - row), bytes = <usize>height << 2;
    if (transposed) {
      let from = source + (<usize>row << 2), to = target;
      for (let k = 0; k < length; k++) {
        v128.store(to, v128.load(from));
        if (height == 6) store<u64>(to + 16, load<u64>(from + 16));
        from += stride;
        to += bytes;
      }
    } else if (height == 6) {
      transposeSix(source + <usize>row * stride, stride, length, target);
    } else {
      transpose_rows_f32(source + <usize>row * stride, stride, length, target, 16);
    }
    target += <usize>length * bytes;
    row += height;
  }
}

/** c [6][8] (+)= sum over `steps` of a [steps][6] times b [steps][8]; rows of c lie `stride` bytes apart. */
function multiplySix(steps: i32, a: usize, b: usize, c: usize, stride: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  const row1 = c + stride, row2 = row1 + stride, row3 = row2 + stride, row4 = row3 + stride, row5 = row4 + stride;
  if (accumulate) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(row1);
    c11 = v128.load(row1, 16);
    c20 = v128.load(row2);
    c21 = v128.load(row2, 16);
    c30 = v128.load(row3);
    c31 = v128.load(row3, 16);
    c40 = v128.load(row4);
    c41 = v128.load(row4, 16);
    c50 = v128.load(row5);
    c51 = v128.load(row5, 16);
  }
  for (const end = a + <usize>steps * 24; a < end; a += 24) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let value = v128.load32_splat(a);
    c00 = madd(b0, value, c00);
    c01 = madd(b1, value, c01);
    value = v128.load32_splat(a, 4);
    c10 = madd(b0, value, c10);
    c11 = madd(b1, value, c11);
    value = v128.load32_splat(a, 8);
    c20 = madd(b0, value, c20);
    c21 = madd(b1, value, c21);
    value = v128.load32_splat(a, 12);
    c30 = madd(b0, value, c30);
    c31 = madd(b1, value, c31);
    value = v128.load32_splat(a, 16);
    c40 = madd(b0, value, c40);
    c41 = madd(b1, value, c41);
    value = v128.load32_splat(a, 20);
    c50 = madd(b0, value, c50);
    c51 = madd(b1, value, c51);
    b += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(row1, c10);
  v128.store(row1, c11, 16);
  v128.store(row2, c20);
  v128.store(row2, c21, 16);
  v128.store(row3, c30);
  v128.store(row3, c31, 16);
  v128.store(row4, c40);
  v128.store(row4, c41, 16);
  v128.store(row5, c50);
  v128.store(row5, c51, 16);
}

/** c [4][8] (+)= sum over `steps` of a [steps][4] times b [steps][8]; rows of c lie `stride` bytes apart. */
export function multiply_tile_f32(steps: i32, a: usize, b: usize, c: usize, stride: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const row1 = c + stride, row2 = row1 + stride, row3 = row2 + stride;
  if (accumulate) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(row1);
    c11 = v128.load(row1, 16);
    c20 = v128.load(row2);
    c21 = v128.load(row2, 16);
    c30 = v128.load(row3);
    c31 = v128.load(row3, 16);
  }
  for (const end = a + (<usize>steps << 4); a < end; a += 16) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let value = v128.load32_splat(a);
    c00 = madd(b0, value, c00);
    c01 = madd(b1, value, c01);
    value = v128.load32_splat(a, 4);
    c10 = madd(b0, value, c10);
    c11 = madd(b1, value, c11);
    value = v128.load32_splat(a, 8);
    c20 = madd(b0, value, c20);
    c21 = madd(b1, value, c21);
    value = v128.load32_splat(a, 12);
    c30 = madd(b0, value, c30);
    c31 = madd(b1, value, c31);
    b += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(row1, c10);
  v128.store(row1, c11, 16);
  v128.store(row2, c20);
  v128.store(row2, c21, 16);
  v128.store(row3, c30);
  v128.store(row3, c31, 16);
}

/** One tile of a panel of A that is `height` rows tall. */
// @ts-ignore: decorator
@inline function multiplyPanel(height: i32, steps: i32, a: usize, b: usize, c: usize, stride: usize, accumulate: bool): void {
  if (height == 6) multiplySix(steps, a, b, c, stride, accumulate);
  else multiply_tile_f32(steps, a, b, c, stride, accumulate);
}

/**
 * The tile at the edge of a result without padding: computed aside, then copied as far as the result goes.
 */
function multiplyEdge(
  height: i32, steps: i32, a: usize, b: usize, c: usize, stride: usize, accumulate: bool, rows: i32, columns: i32, tile: usize,
): void {
  const bytes = <usize>columns << 2;
  if (accumulate) for (let row: usize = 0; row < <usize>rows; row++) memory.copy(tile + (row << 5), c + row * stride, bytes);
  multiplyPanel(height, steps, a, b, tile, 32, accumulate);
  for (let row: usize = 0; row < <usize>rows; row++) memory.copy(c + row * stride, tile + (row << 5), bytes);
}

/**
 * Rows [first, last) of C [., columns] (+)= A B with B packed. `scratch` holds a packed block of A and one
 * tile. `rowEnd` and `columnEnd` are how far C may be written: beyond its extent where it is padded.
 */
export function multiply_f32(
  a: usize, aStride: usize, aTransposed: bool, b: usize, c: usize, cStride: usize, first: i32, last: i32, columns: i32,
  steps: i32, accumulate: bool, rowEnd: i32, columnEnd: i32, scratch: usize,
): void {
  const panels = <usize>((columns + 7) >> 3);
  const tile = scratch + ((ROW_BLOCK * REDUCTION_BLOCK) << 2);
  for (let block = 0; block < steps; block += REDUCTION_BLOCK) {
    const length = min(REDUCTION_BLOCK, steps - block), add = accumulate || block > 0;
    const bBlock = b + ((<usize>block * panels) << 5);
    for (let rowBlock = first; rowBlock < last; rowBlock += ROW_BLOCK) {
      const rows = min(ROW_BLOCK, last - rowBlock);
      const from = aTransposed
        ? a + <usize>block * aStride + (<usize>rowBlock << 2)
        : a + <usize>rowBlock * aStride + (<usize>block << 2);
      packRows(from, aStride, aTransposed, rows, length, scratch);
      for (let panel: usize = 0; panel < panels; panel++) {
        const bPanel = bBlock + ((panel * <usize>length) << 5), width = columnEnd - <i32>(panel << 3);
        let aPanel = scratch;
        let to = c + <usize>rowBlock * cStride + (panel << 5);
        for (let row = 0; row < rows; ) {
          const height = panelHeight(rows - row), left = rowEnd - rowBlock - row;
          if (left >= height && width >= 8) multiplyPanel(height, length, aPanel, bPanel, to, cStride, add);
          else multiplyEdge(height, length, aPanel, bPanel, to, cStride, add, min(height, left), min(8, width), tile);
          aPanel += <usize>(height * length) << 2;
          to += <usize>height * cStride;
          row += height;
        }
      }
    }
  }
}
