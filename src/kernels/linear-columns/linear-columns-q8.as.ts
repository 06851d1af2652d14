// 8-bit columns times one token. A column's scale is folded into its input, so that sums over columns are integers: the
// inputs become 16-bit with one common scale, i32x4.dot_i16x8_s adds two columns at a time, and the sums of 16 rows stay
// in registers for 8 columns. README.md has the variants that were tried and their figures.
import { CHUNK_COLUMNS, GROUP, SCRATCH_COLUMNS, SCRATCH_SUMS, SCRATCH_VALUES, SCRATCH_WORDS } from "./layout.as";

// @ts-ignore: decorator
@inline function low(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
// @ts-ignore: decorator
@inline function high(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
// @ts-ignore: decorator
@inline function addLow(sum: v128, pairs: v128, x: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(pairs), x));
}
// @ts-ignore: decorator
@inline function addHigh(sum: v128, pairs: v128, x: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(pairs), x));
}

/** sums [rows] += 8 columns, whose addresses lie at `columns`, times the inputs at x (i16 [8]). */
function addGroup(columns: usize, offset: usize, rows: usize, x: usize, sums: usize): void {
  const p0 = load<usize>(columns) + offset, p1 = load<usize>(columns, 4) + offset;
  const p2 = load<usize>(columns, 8) + offset, p3 = load<usize>(columns, 12) + offset;
  const p4 = load<usize>(columns, 16) + offset, p5 = load<usize>(columns, 20) + offset;
  const p6 = load<usize>(columns, 24) + offset, p7 = load<usize>(columns, 28) + offset;
  const x01 = v128.load32_splat(x), x23 = v128.load32_splat(x, 4), x45 = v128.load32_splat(x, 8), x67 = v128.load32_splat(x, 12);
  for (let row: usize = 0; row < rows; row += 16) {
    let s0 = v128.load(sums), s1 = v128.load(sums, 16), s2 = v128.load(sums, 32), s3 = v128.load(sums, 48);
    let a = v128.load(p0 + row), b = v128.load(p1 + row), l = low(a, b), h = high(a, b);
    s0 = addLow(s0, l, x01), s1 = addHigh(s1, l, x01), s2 = addLow(s2, h, x01), s3 = addHigh(s3, h, x01);
    a = v128.load(p2 + row), b = v128.load(p3 + row), l = low(a, b), h = high(a, b);
    s0 = addLow(s0, l, x23), s1 = addHigh(s1, l, x23), s2 = addLow(s2, h, x23), s3 = addHigh(s3, h, x23);
    a = v128.load(p4 + row), b = v128.load(p5 + row), l = low(a, b), h = high(a, b);
    s0 = addLow(s0, l, x45), s1 = addHigh(s1, l, x45), s2 = addLow(s2, h, x45), s3 = addHigh(s3, h, x45);
    a = v128.load(p6 + row), b = v128.load(p7 + row), l = low(a, b), h = high(a, b);
    s0 = addLow(s0, l, x67), s1 = addHigh(s1, l, x67), s2 = addLow(s2, h, x67), s3 = addHigh(s3, h, x67);
    v128.store(sums, s0);
    v128.store(sums, s1, 16);
    v128.store(sums, s2, 32);
    v128.store(sums, s3, 48);
    sums += 64;
  }
}

/** The largest magnitude of the chosen inputs times their column scales. */
function largestInput(indices: usize, count: i32, x: usize, scales: usize): f32 {
  let largest: f32 = 0;
  for (const end = indices + (<usize>count << 2); indices < end; indices += 4) {
    const column = load<usize>(indices) << 2;
    largest = max(largest, abs(load<f32>(x + column) * load<f32>(scales + column)));
  }
  return largest;
}

/** Inputs of a chunk times their column scales, as i16 at `words`; `padded` is a multiple of 8. */
function quantizeChunk(indices: usize, count: i32, padded: i32, x: usize, scales: usize, inverse: f32, values: usize, words: usize): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const column = load<usize>(indices + (i << 2)) << 2;
    store<f32>(values + (i << 2), load<f32>(x + column) * load<f32>(scales + column));
  }
  for (let i = <usize>count; i < <usize>padded; i++) store<f32>(values + (i << 2), 0);
  const factor = f32x4.splat(inverse);
  for (let i: usize = 0; i < <usize>padded; i += 8) {
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(values + (i << 2)), factor)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(values + (i << 2), 16), factor)));
    v128.store(words + (i << 1), i16x8.narrow_i32x4_s(a, b));
  }
}

/** totals [rows], f64, += sums [rows]; every addition is exact. */
function addTotals(sums: usize, rows: usize, totals: usize): void {
  for (const end = sums + (rows << 2); sums < end; sums += 16) {
    const v = v128.load(sums);
    v128.store(totals, f64x2.add(v128.load(totals), f64x2.convert_low_i32x4_s(v)));
    v128.store(totals, f64x2.add(v128.load(totals, 16), f64x2.convert_low_i32x4_s(v128.shuffle<i64>(v, v, 1, 0))), 16);
    totals += 32;
  }
}

/**
 * One thread's share of the chosen columns times x, for all rows and one or two parts: integer totals in the thread's
 * scratch, to be added up by column_sums_q8. Threads share columns, not rows, so that a column is read in one piece;
 * integers make their sum independent of the sharing. selection: a count and the columns; scales [parts, width];
 * places: the address of each chosen column, or 0 where columns lie at `weights` in their order.
 */
export function linear_columns_q8_i16(
  weights: usize, rows: usize, parts: usize, width: usize, selection: usize, places: usize, x: usize, scales: usize,
  thread: i32, threads: i32, scratch: usize,
): i32 {
  const total = load<i32>(selection), sums = scratch + SCRATCH_SUMS, totals = sums + (rows << 2) * parts;
  const columns = scratch + SCRATCH_COLUMNS, values = scratch + SCRATCH_VALUES, words = scratch + SCRATCH_WORDS;
  const wordBytes = <usize>(CHUNK_COLUMNS + GROUP) << 1, columnBytes = rows * parts;
  const largest0 = largestInput(selection + 16, total, x, scales);
  const largest1: f32 = parts == 2 ? largestInput(selection + 16, total, x, scales + (width << 2)) : 0;
  store<f32>(scratch, largest0 / 32767);
  store<f32>(scratch, largest1 / 32767, 4);
  const inverse0: f32 = largest0 == 0 ? 0 : 32767 / largest0, inverse1: f32 = largest1 == 0 ? 0 : 32767 / largest1;
  memory.fill(totals, 0, (rows << 3) * parts);
  const groups = (total + GROUP - 1) / GROUP;
  const first = <i32>((<i64>groups * thread) / threads) * GROUP, last = min(total, <i32>((<i64>groups * (thread + 1)) / threads) * GROUP);
  for (let done = first; done < last; done += CHUNK_COLUMNS) {
    const indices = selection + 16 + (<usize>done << 2), count = min(CHUNK_COLUMNS, last - done), padded = (count + 7) & ~7;
    for (let i: usize = 0; i < <usize>padded; i++) {
      // Padding reads the last column again, times zero.
      const at = min(i, <usize>count - 1) << 2;
      const place = places == 0 ? weights + load<usize>(indices + at) * columnBytes : load<usize>(places + (<usize>done << 2) + at);
      store<usize>(columns + (i << 2), place);
    }
    quantizeChunk(indices, count, padded, x, scales, inverse0, values, words);
    if (parts == 2) quantizeChunk(indices, count, padded, x, scales + (width << 2), inverse1, values, words + wordBytes);
    memory.fill(sums, 0, (rows << 2) * parts);
    for (let i: usize = 0; i < <usize>padded; i += <usize>GROUP) {
      addGroup(columns + (i << 2), 0, rows, words + (i << 1), sums);
      if (parts == 2) addGroup(columns + (i << 2), rows, rows, words + wordBytes + (i << 1), sums + (rows << 2));
    }
    addTotals(sums, rows * parts, totals);
  }
  return max(0, last - first);
}

/** out [count] = bias + all threads' totals of one part from row `first` on; `scratch` is thread 0's. */
export function column_sums_q8(
  rows: usize, parts: usize, part: usize, first: usize, count: usize, threads: i32, scratch: usize, stride: usize,
  unit: f32, out: usize, bias: usize,
): void {
  const totals = scratch + SCRATCH_SUMS + (rows << 2) * parts + ((part * rows + first) << 3);
  for (let row: usize = 0; row < count; row++) {
    let sum: f64 = 0;
    for (let t: usize = 0; t < <usize>threads; t++) sum += load<f64>(totals + t * stride + (row << 3));
    store<f32>(out + (row << 2), load<f32>(bias + (row << 2)) + <f32>sum * unit);
  }
}
