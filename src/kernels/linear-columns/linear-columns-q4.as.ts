// 4-bit columns times one token. Scales lie inside the column: one byte per 32 rows says what share of the column's f32 scale
// they have. Both are folded into 8-bit inputs, one per column and 32 rows, so that sums over columns are integers of 16
// bits: a nibble fits the unsigned operand of the relaxed dot product, two columns side by side. The offset of 8 of the
// nibbles is taken off with each chunk's sums: |sum over 30 columns of x (n - 8)| <= 30 * 127 * 8 < 2^15, and wrapping on
// the way there is harmless.
import { largestMagnitude, nibbleMask } from "../lanes.as";
import { take } from "../take.as";
import { placeColumns, touchGroup } from "./groups.as";
import { quantizeChunk, scaleInputs } from "./inputs.as";
import {
  GROUP, mostShift, Q4_CHUNK_COLUMNS, q4ShareBytes, SCRATCH_COLUMNS, SCRATCH_SHIFTS, SCRATCH_SUMS, SCRATCH_WORDS,
} from "./layout.as";

/** The largest input of a chunk, as the kernel holds it before multiplying by 256 * the share of a block. */
const INPUT_LIMIT: f32 = 16256;

/** Blocks whose inputs are made at a time, and the bytes they take for a pair of columns. */
const RUN_BLOCKS: usize = 512;
const PAIR_INPUTS: usize = 1024;

/** Pairs of bytes of x times pairs of nibbles, added up in 16 bits. */
// @ts-ignore: decorator
@inline function dotPairs(x: v128, nibbles: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(x, nibbles);
  const first = i16x8.mul(i16x8.shr_s(i16x8.shl(x, 8), 8), v128.and(nibbles, i16x8.splat(0xff)));
  return i16x8.add(first, i16x8.mul(i16x8.shr_s(x, 8), i16x8.shr_u(nibbles, 8)));
}
// @ts-ignore: decorator
@inline function low(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
// @ts-ignore: decorator
@inline function high(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
// @ts-ignore: decorator
@inline function addLow(sum: v128, pairs: v128, x: v128, mask: v128): v128 {
  return i16x8.add(sum, dotPairs(x, v128.and(pairs, mask)));
}
// @ts-ignore: decorator
@inline function addHigh(sum: v128, pairs: v128, x: v128, mask: v128): v128 {
  return i16x8.add(sum, dotPairs(x, v128.and(i16x8.shr_u(pairs, 4), mask)));
}

/**
 * sums [blocks][32 rows], i16, += 10 columns, whose nibbles lie at `columns` + offset, times pairs of byte inputs at x
 * [5][PAIR_INPUTS]; blocks is even. Half a block of all columns at a time keeps two sums in registers, not four.
 */
function addGroup(columns: usize, offset: usize, blocks: usize, x: usize, sums: usize): void {
  let p0 = load<usize>(columns) + offset, p1 = load<usize>(columns, 4) + offset;
  let p2 = load<usize>(columns, 8) + offset, p3 = load<usize>(columns, 12) + offset;
  let p4 = load<usize>(columns, 16) + offset, p5 = load<usize>(columns, 20) + offset;
  let p6 = load<usize>(columns, 24) + offset, p7 = load<usize>(columns, 28) + offset;
  let p8 = load<usize>(columns, 32) + offset, p9 = load<usize>(columns, 36) + offset;
  const mask = nibbleMask();
  for (const end = sums + (blocks << 6); sums < end; sums += 128) {
    let s = v128.load(sums), t = v128.load(sums, 32), v: v128, y: v128;
    v = low(v128.load(p0), v128.load(p1)), y = v128.load16_splat(x, 0 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p2), v128.load(p3)), y = v128.load16_splat(x, 1 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p4), v128.load(p5)), y = v128.load16_splat(x, 2 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p6), v128.load(p7)), y = v128.load16_splat(x, 3 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p8), v128.load(p9)), y = v128.load16_splat(x, 4 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v128.store(sums, s), v128.store(sums, t, 32);
    s = v128.load(sums, 16), t = v128.load(sums, 48);
    v = high(v128.load(p0), v128.load(p1)), y = v128.load16_splat(x, 0 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p2), v128.load(p3)), y = v128.load16_splat(x, 1 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p4), v128.load(p5)), y = v128.load16_splat(x, 2 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p6), v128.load(p7)), y = v128.load16_splat(x, 3 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p8), v128.load(p9)), y = v128.load16_splat(x, 4 * PAIR_INPUTS), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v128.store(sums, s, 16), v128.store(sums, t, 48);
    s = v128.load(sums, 64), t = v128.load(sums, 96);
    v = low(v128.load(p0, 16), v128.load(p1, 16)), y = v128.load16_splat(x, 0 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p2, 16), v128.load(p3, 16)), y = v128.load16_splat(x, 1 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p4, 16), v128.load(p5, 16)), y = v128.load16_splat(x, 2 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p6, 16), v128.load(p7, 16)), y = v128.load16_splat(x, 3 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = low(v128.load(p8, 16), v128.load(p9, 16)), y = v128.load16_splat(x, 4 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v128.store(sums, s, 64), v128.store(sums, t, 96);
    s = v128.load(sums, 80), t = v128.load(sums, 112);
    v = high(v128.load(p0, 16), v128.load(p1, 16)), y = v128.load16_splat(x, 0 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p2, 16), v128.load(p3, 16)), y = v128.load16_splat(x, 1 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p4, 16), v128.load(p5, 16)), y = v128.load16_splat(x, 2 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p6, 16), v128.load(p7, 16)), y = v128.load16_splat(x, 3 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v = high(v128.load(p8, 16), v128.load(p9, 16)), y = v128.load16_splat(x, 4 * PAIR_INPUTS + 2), s = addLow(s, v, y, mask), t = addHigh(t, v, y, mask);
    v128.store(sums, s, 80), v128.store(sums, t, 112);
    p0 += 32, p1 += 32, p2 += 32, p3 += 32, p4 += 32, p5 += 32, p6 += 32, p7 += 32, p8 += 32, p9 += 32;
    x += 4;
  }
}

/** Eight blocks' inputs of one column: its own, as i16, times their shares, rounded to a byte. */
// @ts-ignore: decorator
@inline function blockInputs(shares: usize, input: v128): v128 {
  const share = i16x8.shl(v128.load8x8_u(shares), 7);
  const product = ASC_FEATURE_RELAXED_SIMD ? i16x8.relaxed_q15mulr_s(share, input) : i16x8.q15mulr_sat_s(share, input);
  return i16x8.shr_s(i16x8.add(product, i16x8.splat(64)), 7);
}

/**
 * Inputs of a group at `words` (i16 [10]) times the shares of its columns' blocks -> pairs of bytes at x [5][PAIR_INPUTS];
 * offsets [blocks], i16, -= 8 * all.
 */
function spreadInputs(columns: usize, offset: usize, blocks: usize, words: usize, x: usize, offsets: usize): void {
  const bytes = i16x8.splat(0xff);
  for (let i: usize = 0; i < <usize>GROUP; i += 2) {
    const shares0 = load<usize>(columns + (i << 2)) + offset, shares1 = load<usize>(columns + (i << 2), 4) + offset;
    const input0 = v128.load16_splat(words + (i << 1)), input1 = v128.load16_splat(words + (i << 1), 2);
    for (let block: usize = 0; block < blocks; block += 8) {
      const a = blockInputs(shares0 + block, input0), b = blockInputs(shares1 + block, input1), total = offsets + (block << 1);
      v128.store(x + (block << 1), v128.or(v128.and(a, bytes), i16x8.shl(b, 8)));
      v128.store(total, i16x8.sub(v128.load(total), i16x8.shl(i16x8.add(a, b), 3)));
    }
    x += PAIR_INPUTS;
  }
}

/** totals [blocks][32], i32, += (sums + offsets [blocks]) << shift; sums and offsets become zero. */
function addTotals(sums: usize, blocks: usize, offsets: usize, shift: i32, totals: usize): void {
  const zero = i32x4.splat(0);
  for (const end = offsets + (blocks << 1); offsets < end; offsets += 2) {
    const offset = v128.load16_splat(offsets);
    for (const blockEnd = sums + 64; sums < blockEnd; sums += 16) {
      const v = i16x8.add(v128.load(sums), offset);
      v128.store(totals, i32x4.add(v128.load(totals), i32x4.shl(i32x4.extend_low_i16x8_s(v), shift)));
      v128.store(totals, i32x4.add(v128.load(totals, 16), i32x4.shl(i32x4.extend_high_i16x8_s(v), shift)), 16);
      v128.store(sums, zero);
      totals += 32;
    }
    store<i16>(offsets, 0);
  }
}

/**
 * As linear_columns_q8_i16; rows is a multiple of 64. Scratch behind the head: sums i16 [parts][rows], totals i32
 * [parts][rows], offsets i16 [parts][blocks up to a multiple of 16], inputs of a run of blocks.
 */
export function linear_columns_q4_i8(
  weights: usize, rows: usize, parts: usize, width: usize, selection: usize, places: usize, x: usize, scales: usize,
  counter: usize, scratch: usize,
): i32 {
  const total = load<i32>(selection), most = mostShift(total, Q4_CHUNK_COLUMNS);
  const blocks = rows >> 5, shareBytes = q4ShareBytes(rows), columnBytes = (shareBytes + (rows >> 1)) * parts;
  const sums = scratch + SCRATCH_SUMS, totals = sums + (rows << 1) * parts;
  const offsets = totals + (rows << 2) * parts, inputs = offsets + (shareBytes << 1) * parts;
  const columns = scratch + SCRATCH_COLUMNS, words = scratch + SCRATCH_WORDS, wordBytes = <usize>(Q4_CHUNK_COLUMNS + GROUP) << 1;
  const products = inputs + 5 * PAIR_INPUTS, productBytes = <usize>total << 2;
  for (let part: usize = 0; part < parts; part++) {
    scaleInputs(selection + 16, total, x, scales + part * (width << 2), products + part * productBytes);
    const largest = largestMagnitude(products + part * productBytes, total);
    store<f32>(scratch + (part << 2), largest / INPUT_LIMIT * 32768 / <f32>(1 << most));
    store<f32>(scratch + SCRATCH_SHIFTS + (part << 2), largest);
  }
  memory.fill(sums, 0, inputs - sums);
  let read = 0;
  for (let chunk = take(counter, Q4_CHUNK_COLUMNS); chunk < total; chunk = take(counter, Q4_CHUNK_COLUMNS)) {
    const count = min(Q4_CHUNK_COLUMNS, total - chunk);
    read += count;
    placeColumns(weights, columnBytes, selection, places, chunk, count, columns);
    for (let part: usize = 0; part < parts; part++) {
      const largest = load<f32>(scratch + SCRATCH_SHIFTS + (part << 2));
      const own = products + part * productBytes + (<usize>chunk << 2);
      const shift = quantizeChunk(own, count, largestMagnitude(own, count), largest, INPUT_LIMIT, most, words + part * wordBytes);
      store<i32>(scratch + SCRATCH_SHIFTS + 8 + (part << 2), most - shift);
    }
    for (let i = 0; i < count; i += GROUP) {
      const group = columns + (<usize>i << 2);
      touchGroup(group, columnBytes);
      for (let part: usize = 0; part < parts; part++) {
        const values = words + part * wordBytes + (<usize>i << 1);
        const nibbles = parts * shareBytes + part * (rows >> 1), into = sums + part * (rows << 1);
        for (let run: usize = 0; run < blocks; run += RUN_BLOCKS) {
          const length = min(RUN_BLOCKS, blocks - run), corrections = offsets + part * (shareBytes << 1) + (run << 1);
          spreadInputs(group, part * shareBytes + run, length, values, inputs, corrections);
          addGroup(group, nibbles + (run << 4), length, inputs, into + (run << 6));
        }
      }
    }
    for (let part: usize = 0; part < parts; part++) {
      const shift = load<i32>(scratch + SCRATCH_SHIFTS + 8 + (part << 2));
      addTotals(sums + part * (rows << 1), blocks, offsets + part * (shareBytes << 1), shift, totals + part * (rows << 2));
    }
  }
  return read;
}

/** out [count] = bias + all threads' totals of one part from row `first` on, both multiples of 8; `scratch` is thread 0's. */
export function column_sums_q4(
  rows: usize, parts: usize, part: usize, first: usize, count: usize, threads: i32, scratch: usize, stride: usize,
  unit: f32, out: usize, bias: usize,
): void {
  const totals = scratch + SCRATCH_SUMS + (rows << 1) * parts + ((part * rows) << 2), units = f32x4.splat(unit);
  for (let row = first; row < first + count; row += 4) {
    let at = totals + (row << 2), sum = i32x4.splat(0);
    for (let t = 0; t < threads; t++) {
      sum = i32x4.add(sum, v128.load(at));
      at += stride;
    }
    v128.store(out, f32x4.add(v128.load(bias), f32x4.mul(f32x4.convert_i32x4_s(sum), units)));
    out += 16, bias += 16;
  }
}
