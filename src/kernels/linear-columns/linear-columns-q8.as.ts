// 8-bit columns times one token. A column's scale is folded into its input, so that sums over columns are integers. Two
// bytes of a column are one 16-bit number, 256 * odd row + even row (layout.as.ts): times a 16-bit input with the upper
// half of the product kept, it gives the odd row; shifted up by 8 first, the even row. Nothing is widened or shuffled.
// Inputs are scaled so that a chunk of columns cannot leave 16 bits; README.md has the error bound, the variants that
// were tried and their figures.
import { take } from "../take.as";
import { placeColumns, touchGroup } from "./groups.as";
import { quantizeChunk, scaleInputs } from "./inputs.as";
import {
  CHUNK_COLUMNS, GROUP, MOST_SUM, mostShift, SCRATCH_COLUMNS, SCRATCH_SHIFTS, SCRATCH_SUMS, SCRATCH_WORDS, UNIT_ROWS,
} from "./layout.as";

/** (a * x + 2^14) >> 15. No lane of x is -32768, so relaxed and plain SIMD give the same integers. */
// @ts-ignore: decorator
@inline function times(a: v128, x: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_q15mulr_s(a, x);
  return i16x8.q15mulr_sat_s(a, x);
}
// @ts-ignore: decorator
@inline function even(sum: v128, rows: v128, x: v128): v128 { return i16x8.add(sum, times(i16x8.shl(rows, 8), x)); }
// @ts-ignore: decorator
@inline function odd(sum: v128, rows: v128, x: v128): v128 { return i16x8.add(sum, times(rows, x)); }

/**
 * sums [rows / 16][8 even, 8 odd], i16, += 10 columns, whose addresses lie at `columns`, times the inputs at x (i16 [10]).
 * Each load has its own place in the loop, which is what the processor's prefetcher follows; 64 rows are a cache line.
 */
function addGroup(columns: usize, offset: usize, rows: usize, x: usize, sums: usize): void {
  let p0 = load<usize>(columns) + offset, p1 = load<usize>(columns, 4) + offset;
  let p2 = load<usize>(columns, 8) + offset, p3 = load<usize>(columns, 12) + offset;
  let p4 = load<usize>(columns, 16) + offset, p5 = load<usize>(columns, 20) + offset;
  let p6 = load<usize>(columns, 24) + offset, p7 = load<usize>(columns, 28) + offset;
  let p8 = load<usize>(columns, 32) + offset, p9 = load<usize>(columns, 36) + offset;
  const x0 = v128.load16_splat(x), x1 = v128.load16_splat(x, 2);
  const x2 = v128.load16_splat(x, 4), x3 = v128.load16_splat(x, 6);
  const x4 = v128.load16_splat(x, 8), x5 = v128.load16_splat(x, 10);
  const x6 = v128.load16_splat(x, 12), x7 = v128.load16_splat(x, 14);
  const x8 = v128.load16_splat(x, 16), x9 = v128.load16_splat(x, 18);
  const lines = sums + ((rows & ~63) << 1);
  while (sums < lines) {
    let e = v128.load(sums), o = v128.load(sums, 16);
    let w = v128.load(p0); e = even(e, w, x0), o = odd(o, w, x0), w = v128.load(p1), e = even(e, w, x1), o = odd(o, w, x1);
    w = v128.load(p2), e = even(e, w, x2), o = odd(o, w, x2), w = v128.load(p3), e = even(e, w, x3), o = odd(o, w, x3);
    w = v128.load(p4), e = even(e, w, x4), o = odd(o, w, x4), w = v128.load(p5), e = even(e, w, x5), o = odd(o, w, x5);
    w = v128.load(p6), e = even(e, w, x6), o = odd(o, w, x6), w = v128.load(p7), e = even(e, w, x7), o = odd(o, w, x7);
    w = v128.load(p8), e = even(e, w, x8), o = odd(o, w, x8), w = v128.load(p9), e = even(e, w, x9), o = odd(o, w, x9);
    v128.store(sums, e), v128.store(sums, o, 16);
    e = v128.load(sums, 32), o = v128.load(sums, 48);
    w = v128.load(p0, 16), e = even(e, w, x0), o = odd(o, w, x0), w = v128.load(p1, 16), e = even(e, w, x1), o = odd(o, w, x1);
    w = v128.load(p2, 16), e = even(e, w, x2), o = odd(o, w, x2), w = v128.load(p3, 16), e = even(e, w, x3), o = odd(o, w, x3);
    w = v128.load(p4, 16), e = even(e, w, x4), o = odd(o, w, x4), w = v128.load(p5, 16), e = even(e, w, x5), o = odd(o, w, x5);
    w = v128.load(p6, 16), e = even(e, w, x6), o = odd(o, w, x6), w = v128.load(p7, 16), e = even(e, w, x7), o = odd(o, w, x7);
    w = v128.load(p8, 16), e = even(e, w, x8), o = odd(o, w, x8), w = v128.load(p9, 16), e = even(e, w, x9), o = odd(o, w, x9);
    v128.store(sums, e, 32), v128.store(sums, o, 48);
    e = v128.load(sums, 64), o = v128.load(sums, 80);
    w = v128.load(p0, 32), e = even(e, w, x0), o = odd(o, w, x0), w = v128.load(p1, 32), e = even(e, w, x1), o = odd(o, w, x1);
    w = v128.load(p2, 32), e = even(e, w, x2), o = odd(o, w, x2), w = v128.load(p3, 32), e = even(e, w, x3), o = odd(o, w, x3);
    w = v128.load(p4, 32), e = even(e, w, x4), o = odd(o, w, x4), w = v128.load(p5, 32), e = even(e, w, x5), o = odd(o, w, x5);
    w = v128.load(p6, 32), e = even(e, w, x6), o = odd(o, w, x6), w = v128.load(p7, 32), e = even(e, w, x7), o = odd(o, w, x7);
    w = v128.load(p8, 32), e = even(e, w, x8), o = odd(o, w, x8), w = v128.load(p9, 32), e = even(e, w, x9), o = odd(o, w, x9);
    v128.store(sums, e, 64), v128.store(sums, o, 80);
    e = v128.load(sums, 96), o = v128.load(sums, 112);
    w = v128.load(p0, 48), e = even(e, w, x0), o = odd(o, w, x0), w = v128.load(p1, 48), e = even(e, w, x1), o = odd(o, w, x1);
    w = v128.load(p2, 48), e = even(e, w, x2), o = odd(o, w, x2), w = v128.load(p3, 48), e = even(e, w, x3), o = odd(o, w, x3);
    w = v128.load(p4, 48), e = even(e, w, x4), o = odd(o, w, x4), w = v128.load(p5, 48), e = even(e, w, x5), o = odd(o, w, x5);
    w = v128.load(p6, 48), e = even(e, w, x6), o = odd(o, w, x6), w = v128.load(p7, 48), e = even(e, w, x7), o = odd(o, w, x7);
    w = v128.load(p8, 48), e = even(e, w, x8), o = odd(o, w, x8), w = v128.load(p9, 48), e = even(e, w, x9), o = odd(o, w, x9);
    v128.store(sums, e, 96), v128.store(sums, o, 112);
    p0 += 64, p1 += 64, p2 += 64, p3 += 64, p4 += 64, p5 += 64, p6 += 64, p7 += 64, p8 += 64, p9 += 64;
    sums += 128;
  }
  addUnits(columns, offset + (rows & ~63), rows & 63, x, sums);
}

/** The same for the rows that are no whole cache line. */
function addUnits(columns: usize, offset: usize, rows: usize, x: usize, sums: usize): void {
  for (let row = offset; row < offset + rows; row += UNIT_ROWS) {
    let e = v128.load(sums), o = v128.load(sums, 16);
    for (let i: usize = 0; i < <usize>GROUP; i++) {
      const w = v128.load(load<usize>(columns + (i << 2)) + row), input = v128.load16_splat(x + (i << 1));
      e = even(e, w, input), o = odd(o, w, input);
    }
    v128.store(sums, e), v128.store(sums, o, 16);
    sums += 32;
  }
}

/** Sum of the magnitudes of a chunk's products. */
function chunkMagnitude(products: usize, count: i32): f32 {
  let sums = f32x4.splat(0);
  const end = products + (<usize>count << 2);
  for (const whole = products + (<usize>(count & ~3) << 2); products < whole; products += 16) {
    sums = f32x4.add(sums, f32x4.abs(v128.load(products)));
  }
  let sum: f32 = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
  for (; products < end; products += 4) sum += abs(load<f32>(products));
  return sum;
}

/** The largest of all chunks' magnitudes; NaN where one is. */
function largestChunk(products: usize, total: i32): f32 {
  let largest: f32 = 0;
  for (let left = total; left > 0; left -= CHUNK_COLUMNS) {
    largest = max(largest, chunkMagnitude(products, min(CHUNK_COLUMNS, left)));
    products += <usize>CHUNK_COLUMNS << 2;
  }
  return largest;
}

/** totals [rows / 16][8 even, 8 odd], i32, += sums << shift; sums become zero. */
function addTotals(sums: usize, rows: usize, shift: i32, totals: usize): void {
  const zero = i32x4.splat(0);
  for (const end = sums + (rows << 1); sums < end; sums += 16) {
    const v = v128.load(sums);
    v128.store(totals, i32x4.add(v128.load(totals), i32x4.shl(i32x4.extend_low_i16x8_s(v), shift)));
    v128.store(totals, i32x4.add(v128.load(totals, 16), i32x4.shl(i32x4.extend_high_i16x8_s(v), shift)), 16);
    v128.store(sums, zero);
    totals += 32;
  }
}

/**
 * Chosen columns times x, those chunks of them that the thread gets, for all rows and one or two parts: integer totals in the
 * thread's scratch, to be added up by column_sums_q8. Threads take chunks of columns, not rows, so that a column is read in one
 * piece; a chunk's scale does not depend on who reads it, and integers make the sum independent of who took what. Returns the
 * columns that it has read.
 * selection: a count and the columns; scales [parts, width]; places: the address of each chosen column, or 0 where columns
 * lie at `weights` in their order.
 */
export function linear_columns_q8_i16(
  weights: usize, rows: usize, parts: usize, width: usize, selection: usize, places: usize, x: usize, scales: usize,
  counter: usize, scratch: usize,
): i32 {
  const total = load<i32>(selection), most = mostShift(total, CHUNK_COLUMNS);
  const sums = scratch + SCRATCH_SUMS, totals = sums + (rows << 1) * parts, columnBytes = rows * parts;
  const columns = scratch + SCRATCH_COLUMNS, words = scratch + SCRATCH_WORDS, wordBytes = <usize>(CHUNK_COLUMNS + GROUP) << 1;
  const products = totals + (rows << 2) * parts, productBytes = <usize>total << 2;
  for (let part: usize = 0; part < parts; part++) {
    scaleInputs(selection + 16, total, x, scales + part * (width << 2), products + part * productBytes);
    const largest = largestChunk(products + part * productBytes, total);
    store<f32>(scratch + (part << 2), largest / MOST_SUM * 128 / <f32>(1 << most));
    store<f32>(scratch + SCRATCH_SHIFTS + (part << 2), largest);
  }
  memory.fill(sums, 0, (rows * 6) * parts);
  let read = 0;
  for (let chunk = take(counter, CHUNK_COLUMNS); chunk < total; chunk = take(counter, CHUNK_COLUMNS)) {
    const count = min(CHUNK_COLUMNS, total - chunk);
    read += count;
    placeColumns(weights, columnBytes, selection, places, chunk, count, columns);
    for (let part: usize = 0; part < parts; part++) {
      const largest = load<f32>(scratch + SCRATCH_SHIFTS + (part << 2));
      const own = products + part * productBytes + (<usize>chunk << 2);
      const shift = quantizeChunk(own, count, chunkMagnitude(own, count), largest, MOST_SUM, most, words + part * wordBytes);
      store<i32>(scratch + SCRATCH_SHIFTS + 8 + (part << 2), most - shift);
    }
    for (let i = 0; i < count; i += GROUP) {
      touchGroup(columns + (<usize>i << 2), columnBytes);
      for (let part: usize = 0; part < parts; part++) {
        addGroup(columns + (<usize>i << 2), part * rows, rows, words + part * wordBytes + (<usize>i << 1), sums + part * (rows << 1));
      }
    }
    for (let part: usize = 0; part < parts; part++) {
      addTotals(sums + part * (rows << 1), rows, load<i32>(scratch + SCRATCH_SHIFTS + 8 + (part << 2)), totals + part * (rows << 2));
    }
  }
  return read;
}

/**
 * out [count] = bias + all threads' totals of one part from row `first` on, both multiples of 8; `scratch` is thread 0's.
 * Odd rows carry a 256th of the even row before them.
 */
export function column_sums_q8(
  rows: usize, parts: usize, part: usize, first: usize, count: usize, threads: i32, scratch: usize, stride: usize,
  unit: f32, out: usize, bias: usize,
): void {
  const totals = scratch + SCRATCH_SUMS + (rows << 1) * parts + ((part * rows) << 2), units = f32x4.splat(unit), share = f32x4.splat(1.0 / 256.0);
  for (let row = first; row < first + count; row += 8) {
    let at = totals + ((row >> 4) << 6) + ((row & 8) << 1), evens = i32x4.splat(0), odds = i32x4.splat(0);
    for (let t = 0; t < threads; t++) {
      evens = i32x4.add(evens, v128.load(at)), odds = i32x4.add(odds, v128.load(at, 32));
      at += stride;
    }
    const e = f32x4.convert_i32x4_s(evens), o = f32x4.sub(f32x4.convert_i32x4_s(odds), f32x4.mul(e, share));
    v128.store(out, f32x4.add(v128.load(bias), f32x4.mul(v128.shuffle<i32>(e, o, 0, 4, 1, 5), units)));
    v128.store(out, f32x4.add(v128.load(bias, 16), f32x4.mul(v128.shuffle<i32>(e, o, 2, 6, 3, 7), units)), 16);
    out += 32, bias += 32;
  }
}
