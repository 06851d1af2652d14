// Float columns (f32, f16, bf16) times one token. Each output is one chain of multiply-adds over the columns in order, the
// chain of linear-float.as.ts: with all columns chosen the results are equal bit for bit. f16 weights are used times 2^-112,
// the inputs times 2^60 and the sums times 2^52, as there. Threads share the rows [first, first + rows) of `total`; the first `kept` of them are stored.
import { halfMask, madd } from "../lanes.as";
import { finish, widen } from "../linear/linear-float.as";
import { SCRATCH_SUMS } from "./layout.as";

/** Columns that are read side by side. */
const GROUP: i32 = 8;

/** 2^60 */
const HALF_INPUT_SCALE: f32 = 1152921504606846976.0;

// @ts-ignore: decorator
@inline function addGroup<W>(columns: usize, x: usize, rows: usize, sums: usize, mask: v128): void {
  const p0 = load<usize>(columns), p1 = load<usize>(columns, 4), p2 = load<usize>(columns, 8), p3 = load<usize>(columns, 12);
  const p4 = load<usize>(columns, 16), p5 = load<usize>(columns, 20), p6 = load<usize>(columns, 24), p7 = load<usize>(columns, 28);
  for (let i: usize = 0; i < rows * sizeof<W>(); i += 4 * sizeof<W>()) {
    let sum = v128.load(sums);
    sum = madd(widen<W>(p0 + i, 0, mask), v128.load32_splat(x), sum);
    sum = madd(widen<W>(p1 + i, 0, mask), v128.load32_splat(x, 4), sum);
    sum = madd(widen<W>(p2 + i, 0, mask), v128.load32_splat(x, 8), sum);
    sum = madd(widen<W>(p3 + i, 0, mask), v128.load32_splat(x, 12), sum);
    sum = madd(widen<W>(p4 + i, 0, mask), v128.load32_splat(x, 16), sum);
    sum = madd(widen<W>(p5 + i, 0, mask), v128.load32_splat(x, 20), sum);
    sum = madd(widen<W>(p6 + i, 0, mask), v128.load32_splat(x, 24), sum);
    sum = madd(widen<W>(p7 + i, 0, mask), v128.load32_splat(x, 28), sum);
    v128.store(sums, sum);
    sums += 16;
  }
}

// @ts-ignore: decorator
@inline function part<W>(
  weights: usize, rows: usize, kept: usize, columnBytes: usize, selection: usize, x: usize, out: usize, bias: usize, scratch: usize,
): void {
  const total = <usize>load<i32>(selection), mask = halfMask(), sums = scratch + SCRATCH_SUMS, values = scratch + 32;
  const factor: f32 = isFloat<W>() || isSigned<W>() ? 1 : HALF_INPUT_SCALE;
  memory.fill(sums, 0, rows << 2);
  for (let first: usize = 0; first < total; first += <usize>GROUP) {
    for (let i: usize = 0; i < <usize>GROUP; i++) {
      // Padding reads the last column again, times zero.
      const column = load<usize>(selection + 16 + (min(first + i, total - 1) << 2));
      store<usize>(scratch + (i << 2), weights + column * columnBytes);
      store<f32>(values + (i << 2), first + i < total ? load<f32>(x + (column << 2)) * factor : 0);
    }
    addGroup<W>(scratch, values, rows, sums, mask);
  }
  for (let i: usize = 0; i < kept << 2; i += 16) {
    v128.store(out + i, finish<W>(v128.load(sums + i), v128.load(bias + i)));
  }
}

// @ts-ignore: decorator
@inline function all<W>(
  weights: usize, total: usize, first: usize, rows: usize, kept: usize, parts: usize, selection: usize, x: usize,
  out0: usize, bias0: usize, out1: usize, bias1: usize, scratch: usize,
): void {
  const partBytes = total * sizeof<W>(), from = weights + first * sizeof<W>(), offset = first << 2;
  part<W>(from, rows, kept, partBytes * parts, selection, x, out0 + offset, bias0 + offset, scratch);
  if (parts == 2) part<W>(from + partBytes, rows, kept, partBytes * parts, selection, x, out1 + offset, bias1 + offset, scratch);
}

export function linear_columns_f32_f32(
  weights: usize, total: usize, first: usize, rows: usize, kept: usize, parts: usize, selection: usize, x: usize,
  out0: usize, bias0: usize, out1: usize, bias1: usize, scratch: usize,
): void {
  all<f32>(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
}

export function linear_columns_f16_f32(
  weights: usize, total: usize, first: usize, rows: usize, kept: usize, parts: usize, selection: usize, x: usize,
  out0: usize, bias0: usize, out1: usize, bias1: usize, scratch: usize,
): void {
  all<u16>(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
}

export function linear_columns_bf16_f32(
  weights: usize, total: usize, first: usize, rows: usize, kept: usize, parts: usize, selection: usize, x: usize,
  out0: usize, bias0: usize, out1: usize, bias1: usize, scratch: usize,
): void {
  all<i16>(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
}
