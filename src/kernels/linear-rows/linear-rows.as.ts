// Chosen rows of a matrix times one token, for methods that know which outputs they need (ProSparse's
// live neurons). Rows lie one after the other in the file's own format, so that a chosen row is one run
// of memory. Four rows go together, one per lane, and every output is the same chain of operations as
// in the panel kernels (linear-q8.as.ts, linear-float.as.ts): a chosen output has the bits that the
// dense product gives it.
import { halfMask, HALF_SCALE, madd } from "../lanes.as";
import { finish, widen } from "../linear/linear-float.as";

/** Sums of four vectors' lanes, one per lane of the result. */
// @ts-ignore: decorator
@inline function laneSums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** One block of 32 columns of a row times i16 activations. */
// @ts-ignore: decorator
@inline function blockDot(q: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load8x8_s(q), x0), i32x4.dot_i16x8_s(v128.load8x8_s(q, 8), x1));
  return i32x4.add(a, i32x4.add(i32x4.dot_i16x8_s(v128.load8x8_s(q, 16), x2), i32x4.dot_i16x8_s(v128.load8x8_s(q, 24), x3)));
}

/** Address of the i-th chosen row; the last one again beyond the end. */
// @ts-ignore: decorator
@inline function rowOf(weights: usize, rowBytes: usize, indices: usize, i: usize, last: usize): usize {
  return weights + load<usize>(indices + (min(i, last) << 2)) * rowBytes;
}

/** Writes lane r of `values` to out[chosen row first + r], as far as there are chosen rows. */
// @ts-ignore: decorator
@inline function scatter(values: v128, indices: usize, first: usize, count: usize, out: usize): void {
  store<f32>(out + (load<usize>(indices + (first << 2)) << 2), f32x4.extract_lane(values, 0));
  if (first + 1 < count) store<f32>(out + (load<usize>(indices + (first << 2), 4) << 2), f32x4.extract_lane(values, 1));
  if (first + 2 < count) store<f32>(out + (load<usize>(indices + (first << 2), 8) << 2), f32x4.extract_lane(values, 2));
  if (first + 3 < count) store<f32>(out + (load<usize>(indices + (first << 2), 12) << 2), f32x4.extract_lane(values, 3));
}

/**
 * Q8_0 rows (per 32 columns an f16 scale and 32 bytes); x: activations_i16_row.
 * out[row] for `count` rows at `indices`.
 */
export function linear_rows_q8_i16(
  weights: usize, rowBytes: usize, columns: i32, indices: usize, count: usize, x: usize, out: usize,
): void {
  const mask = halfMask(), scale = v128.load32_splat(x), blocks = <usize>columns >> 5;
  for (let first: usize = 0; first < count; first += 4) {
    const p0 = rowOf(weights, rowBytes, indices, first, count - 1), p1 = rowOf(weights, rowBytes, indices, first + 1, count - 1);
    const p2 = rowOf(weights, rowBytes, indices, first + 2, count - 1), p3 = rowOf(weights, rowBytes, indices, first + 3, count - 1);
    let f = f32x4.splat(0), xp = x + 16;
    for (let at: usize = 0, end = blocks * 34; at < end; at += 34) {
      const x0 = v128.load(xp), x1 = v128.load(xp, 16), x2 = v128.load(xp, 32), x3 = v128.load(xp, 48);
      const sums = laneSums(
        blockDot(p0 + at + 2, x0, x1, x2, x3), blockDot(p1 + at + 2, x0, x1, x2, x3),
        blockDot(p2 + at + 2, x0, x1, x2, x3), blockDot(p3 + at + 2, x0, x1, x2, x3),
      );
      let scales = i32x4.splat(load<i16>(p0 + at));
      scales = i32x4.replace_lane(scales, 1, load<i16>(p1 + at));
      scales = i32x4.replace_lane(scales, 2, load<i16>(p2 + at));
      scales = i32x4.replace_lane(scales, 3, load<i16>(p3 + at));
      f = f32x4.add(f, f32x4.mul(f32x4.convert_i32x4_s(sums), v128.and(i32x4.shl(scales, 13), mask)));
      xp += 64;
    }
    const values = f32x4.add(f32x4.mul(f32x4.mul(f, f32x4.splat(HALF_SCALE)), scale), f32x4.splat(0));
    scatter(values, indices, first, count, out);
  }
}

/** One element of a row in all lanes, as `widen` has it. */
// @ts-ignore: decorator
@inline function widenOne<W>(p: usize, mask: v128): v128 {
  if (isFloat<W>()) return v128.load32_splat(p);
  if (isSigned<W>()) return i32x4.splat(<i32>load<u16>(p) << 16);
  return v128.and(i32x4.splat(<i32>load<i16>(p) << 13), mask);
}

// @ts-ignore: decorator
@inline function rows<W>(weights: usize, rowBytes: usize, columns: i32, indices: usize, count: usize, x: usize, out: usize): void {
  const mask = halfMask(), whole = <usize>(columns & ~3), all = <usize>columns;
  for (let first: usize = 0; first < count; first += 4) {
    const p0 = rowOf(weights, rowBytes, indices, first, count - 1), p1 = rowOf(weights, rowBytes, indices, first + 1, count - 1);
    const p2 = rowOf(weights, rowBytes, indices, first + 2, count - 1), p3 = rowOf(weights, rowBytes, indices, first + 3, count - 1);
    let f = f32x4.splat(0);
    for (let k: usize = 0; k < whole; k += 4) {
      const at = k * sizeof<W>(), xp = x + (k << 2);
      const a = widen<W>(p0 + at, 0, mask), b = widen<W>(p1 + at, 0, mask), c = widen<W>(p2 + at, 0, mask), d = widen<W>(p3 + at, 0, mask);
      const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
      f = madd(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.load32_splat(xp), f);
      f = madd(v128.shuffle<i32>(ab, cd, 2, 3, 6, 7), v128.load32_splat(xp, 4), f);
      const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
      f = madd(v128.shuffle<i32>(ef, gh, 0, 1, 4, 5), v128.load32_splat(xp, 8), f);
      f = madd(v128.shuffle<i32>(ef, gh, 2, 3, 6, 7), v128.load32_splat(xp, 12), f);
    }
    for (let k = whole; k < all; k++) {
      const at = k * sizeof<W>();
      const ab = v128.shuffle<i32>(widenOne<W>(p0 + at, mask), widenOne<W>(p1 + at, mask), 0, 4, 0, 4);
      const cd = v128.shuffle<i32>(widenOne<W>(p2 + at, mask), widenOne<W>(p3 + at, mask), 0, 4, 0, 4);
      f = madd(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.load32_splat(x + (k << 2)), f);
    }
    scatter(finish<W>(f, f32x4.splat(0)), indices, first, count, out);
  }
}

/** Float rows; x: activations_f32_row with the factor of the format. */
export function linear_rows_f32_f32(
  weights: usize, rowBytes: usize, columns: i32, indices: usize, count: usize, x: usize, out: usize,
): void {
  rows<f32>(weights, rowBytes, columns, indices, count, x, out);
}

export function linear_rows_f16_f32(
  weights: usize, rowBytes: usize, columns: i32, indices: usize, count: usize, x: usize, out: usize,
): void {
  rows<u16>(weights, rowBytes, columns, indices, count, x, out);
}

export function linear_rows_bf16_f32(
  weights: usize, rowBytes: usize, columns: i32, indices: usize, count: usize, x: usize, out: usize,
): void {
  rows<i16>(weights, rowBytes, columns, indices, count, x, out);
}

/** Up to 8 rows as they lie in the file; missing ones become zeros. */
export function copy_rows(source: usize, rowBytes: usize, rows: i32, columns: i32, target: usize): void {
  const bytes = rowBytes * <usize>rows;
  memory.copy(target, source, bytes);
  memory.fill(target + bytes, 0, rowBytes * <usize>(8 - rows));
}
