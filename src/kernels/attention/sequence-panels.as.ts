// What attention over whole sequences and its gradient share: the head vectors of a sequence packed as operands of the
// matrix tile kernel, and the mask. Head vectors are padded with zeros to a multiple of 8 values (`padded`), sequences
// to a multiple of 8 rows.
//
//   keys form   panels of 4 rows, [padded][4]: rows as results      (scores, their gradient)
//   dims form   panels of 4 dimensions, [rows][4]: rows summed over (weighted sums of values, query gradients)
//   query form  panels of 8 rows, [padded][8]: the other operand of the keys form
//   row form    panels of 8 dimensions, [rows][8]: the other operand of sums over queries
import { transpose_rows_f32 } from "../matrix/multiply.as";

const LANES = memory.data<u32>([0, 1, 2, 3, 4, 5, 6, 7], 16);
const LANE_BITS = memory.data<u32>([1, 2, 4, 8, 16, 32, 64, 128], 16);

// @ts-ignore: decorator
@inline export function padded8(count: i32): i32 { return (count + 7) & ~7; }

// @ts-ignore: decorator
@inline function element(source: usize, stride: usize, row: i32, rows: i32, i: i32, width: i32): f32 {
  return row < rows && i < width ? load<f32>(source + <usize>row * stride + (<usize>i << 2)) : 0;
}

/** Panels of `group` rows, [padded width][group]: keys form (4) and query form (8), times factor. */
export function pack_head_columns_f32(
  source: usize, stride: usize, rows: i32, width: i32, group: i32, factor: f32, target: usize,
): void {
  const wide = padded8(width), panelBytes = <usize>(wide * group) << 2, scale = f32x4.splat(factor);
  for (let row = 0, end = padded8(rows); row < end; row += group) {
    if (row + group <= rows && width == wide) {
      for (let r = 0; r < group; r += 4) {
        transpose_rows_f32(source + <usize>(row + r) * stride, stride, width, target + (<usize>r << 2), <usize>group << 2);
      }
      if (factor != 1) {
        for (let i: usize = 0; i < panelBytes; i += 16) v128.store(target + i, f32x4.mul(v128.load(target + i), scale));
      }
      target += panelBytes;
      continue;
    }
    for (let i = 0; i < wide; i++) {
      for (let r = 0; r < group; r++) {
        store<f32>(target, element(source, stride, row + r, rows, i, width) * factor);
        target += 4;
      }
    }
  }
}

/** Panels of `group` dimensions, [padded rows][group]: dims form (4) and row form (8), times factor. */
export function pack_head_rows_f32(
  source: usize, stride: usize, rows: i32, width: i32, group: i32, factor: f32, target: usize,
): void {
  const wide = padded8(width), scale = f32x4.splat(factor);
  for (let i = 0; i < wide; i += group) {
    for (let row = 0, end = padded8(rows); row < end; row++) {
      if (row < rows && i + group <= width) {
        const from = source + <usize>row * stride + (<usize>i << 2);
        for (let g: usize = 0; g < <usize>group << 2; g += 16) v128.store(target + g, f32x4.mul(v128.load(from + g), scale));
        target += <usize>group << 2;
        continue;
      }
      for (let g = 0; g < group; g++) {
        store<f32>(target, element(source, stride, row, rows, i + g, width) * factor);
        target += 4;
      }
    }
  }
}

/** Whether some of the queries [query, query + 8) do not see `key`. */
// @ts-ignore: decorator
@inline export function needsMask(key: i32, query: i32, window: i32): bool {
  return key > query || (window > 0 && key <= query + 7 - window);
}

/** Ones in the lanes of queries [query, query + 4) that see `key`: those from the key on, within the window. */
// @ts-ignore: decorator
@inline export function visible(key: i32, query: i32, window: i32): v128 {
  const at = i32x4.add(v128.load(LANES), i32x4.splat(query));
  const seen = i32x4.ge_s(at, i32x4.splat(key));
  return window > 0 ? v128.and(seen, i32x4.lt_s(at, i32x4.splat(key + window))) : seen;
}

/** Ones in the lanes of queries [0, 4) that a mask byte, splatted, has bits for. */
// @ts-ignore: decorator
@inline export function statedLow(byte: v128): v128 {
  const bits = v128.load(LANE_BITS);
  return i32x4.eq(v128.and(byte, bits), bits);
}

/** The same for queries [4, 8). */
// @ts-ignore: decorator
@inline export function statedHigh(byte: v128): v128 {
  const bits = v128.load(LANE_BITS, 16);
  return i32x4.eq(v128.and(byte, bits), bits);
}
