// Tape instructions of the column ops. While decoding, every thread chooses columns for itself (which is
// cheaper than meeting) and multiplies them for its own rows; with several tokens, activations are
// prepared in tiles and the product is dense. Each thread counts the weight bytes that its chosen
// columns made it read.
import {
  linear_columns_bf16_f32, linear_columns_f16_f32, linear_columns_f32_f32,
} from "../linear-columns/linear-columns-float.as";
import { column_sums_q4, linear_columns_q4_i8 } from "../linear-columns/linear-columns-q4.as";
import { column_sums_q8, linear_columns_q8_i16 } from "../linear-columns/linear-columns-q8.as";
import { Q4_UNIT_ROWS, q4ShareBytes, UNIT_ROWS } from "../linear-columns/layout.as";
import { column_activations_i16_tile, gather_panel_float, gather_panel_q4, gather_panel_q8 } from "../linear-columns/panels.as";
import { activations_f32_tile } from "../linear/activations.as";
import { BLOCK } from "../linear/layout.as";
import { linearFloatTile } from "../linear/linear-float.as";
import { linear_q8_i16_tile } from "../linear/linear-q8.as";
import { CONTROL_POSITIONS, SELECT_GATES, SELECT_TOP, TILE_TOKENS, WEIGHT_F16, WEIGHT_F32, WEIGHT_Q4, WEIGHT_Q8 } from "../layout";
import { choose_cached_f32 } from "../select-columns/choose-cached.as";
import {
  select_above_among_f32, select_above_f32, select_gates_f32, select_top_among_f32, select_top_f32,
} from "../select-columns/select-columns.as";
import { address, real, shareOf, word } from "./words.as";

// @ts-ignore: decorator
@inline function elementBytes(format: i32): usize { return format == WEIGHT_F32 ? 4 : format == WEIGHT_Q8 ? 1 : 2; }

/** Rows of `units` units, those that pad the last one included. */
// @ts-ignore: decorator
@inline function storedRows(format: i32, units: i32): usize { return <usize>(units * (format == WEIGHT_Q4 ? Q4_UNIT_ROWS : UNIT_ROWS)); }

/**
 * rule, x, xThreadStride, width, count or threshold, target, targetThreadStride,
 * earlier choice or 0, its thread stride
 */
export function runSelectColumns(p: usize, thread: i32): void {
  const x = address(p, 3) + <usize>thread * address(p, 4), target = address(p, 7) + <usize>thread * address(p, 8);
  if (address(p, 9) != 0) {
    const among = address(p, 9) + <usize>thread * address(p, 10);
    if (word(p, 2) == SELECT_TOP) select_top_among_f32(x, among, word(p, 6), target);
    else select_above_among_f32(x, among, real(p, 6), target);
  } else if (word(p, 2) == SELECT_TOP) select_top_f32(x, word(p, 5), word(p, 6), target);
  else if (word(p, 2) == SELECT_GATES) select_gates_f32(x, word(p, 5), real(p, 6), target);
  else select_above_f32(x, word(p, 5), real(p, 6), target);
}

/**
 * x, xThreadStride, width, count, target, targetThreadStride, cache, cacheThreadStride, slots, policy, gamma
 * (f64, two words), scratch, scratchThreadStride
 */
export function runChooseCached(p: usize, control: usize, thread: i32): void {
  choose_cached_f32(
    address(p, 2) + <usize>thread * address(p, 3), word(p, 4), word(p, 5),
    address(p, 6) + <usize>thread * address(p, 7), address(p, 8) + <usize>thread * address(p, 9), word(p, 10), word(p, 11),
    load<f64>(p + 48), load<i32>(address(control, CONTROL_POSITIONS >> 2)),
    address(p, 14) + <usize>thread * address(p, 15),
  );
}

/**
 * format, parts, weights, units, rows to write, width, x, xThreadStride, selection, selectionThreadStride,
 * scales, out0, bias0, out1, bias1, scratch, scratchStride, counters, places (0: columns lie in their order),
 * counter of columns taken
 */
export function runLinearColumns(p: usize, thread: i32, threads: i32): void {
  const format = word(p, 2), parts = address(p, 3), weights = address(p, 4), units = word(p, 5), width = address(p, 7);
  const total = storedRows(format, units), counter = address(p, 19) + <usize>(thread << 6);
  const x = address(p, 8) + <usize>thread * address(p, 9), selection = address(p, 10) + <usize>thread * address(p, 11);
  const scratch = address(p, 17) + <usize>thread * address(p, 18);
  if (format == WEIGHT_Q8) {
    const chosen = linear_columns_q8_i16(weights, total, parts, width, selection, address(p, 20), x, address(p, 12), address(p, 21), scratch);
    store<i64>(counter, load<i64>(counter) + <i64>chosen * <i64>(parts * (total + 4)));
    return;
  }
  if (format == WEIGHT_Q4) {
    const chosen = linear_columns_q4_i8(weights, total, parts, width, selection, address(p, 20), x, address(p, 12), address(p, 21), scratch);
    store<i64>(counter, load<i64>(counter) + <i64>chosen * <i64>(parts * (q4ShareBytes(total) + (total >> 1) + 4)));
    return;
  }
  const firstUnit = shareOf(units, thread, threads), first = <usize>(firstUnit * UNIT_ROWS);
  const rows = <usize>((shareOf(units, thread + 1, threads) - firstUnit) * UNIT_ROWS);
  if (rows == 0) return;
  const kept = min(rows, address(p, 6) - first);
  store<i64>(counter, load<i64>(counter) + <i64>load<i32>(selection) * <i64>(parts * rows * elementBytes(format)));
  const out0 = address(p, 13), bias0 = address(p, 14), out1 = address(p, 15), bias1 = address(p, 16);
  if (format == WEIGHT_F32) {
    linear_columns_f32_f32(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
  } else if (format == WEIGHT_F16) {
    linear_columns_f16_f32(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
  } else {
    linear_columns_bf16_f32(weights, total, first, rows, kept, parts, selection, x, out0, bias0, out1, bias1, scratch);
  }
}

/**
 * format, parts, units, panels, out0, bias0, out1, bias1, scratch, scratchStride:
 * adds up what the threads summed.
 */
export function runColumnSums(p: usize, thread: i32, threads: i32): void {
  const parts = address(p, 3), rows = storedRows(word(p, 2), word(p, 4)), panels = word(p, 5), stride = address(p, 11);
  const first = <usize>shareOf(panels, thread, threads) << 3, count = (<usize>shareOf(panels, thread + 1, threads) << 3) - first;
  const scratch = address(p, 10), own = scratch + <usize>thread * stride;
  for (let part: usize = 0; part < parts; part++) {
    const out = load<usize>(p + 24 + (part << 3)) + (first << 2), bias = load<usize>(p + 28 + (part << 3)) + (first << 2);
    if (word(p, 2) == WEIGHT_Q4) {
      column_sums_q4(rows, parts, part, first, count, threads, scratch, stride, load<f32>(own + (part << 2)), out, bias);
    } else column_sums_q8(rows, parts, part, first, count, threads, scratch, stride, load<f32>(own + (part << 2)), out, bias);
  }
}

/**
 * format, x, xStride, columns, scales, factor, target, tileBytes, scratch, scratchStride;
 * `tokens` is T of the step
 */
export function runColumnActivations(p: usize, thread: i32, threads: i32, tokens: i32): void {
  const tiles = (tokens + TILE_TOKENS - 1) / TILE_TOKENS, columns = word(p, 5);
  const scratch = address(p, 10) + <usize>thread * address(p, 11);
  for (let tile = shareOf(tiles, thread, threads), last = shareOf(tiles, thread + 1, threads); tile < last; tile++) {
    const from = address(p, 3) + <usize>(tile * TILE_TOKENS) * address(p, 4), to = address(p, 8) + <usize>tile * address(p, 9);
    if (word(p, 2) == WEIGHT_Q8) column_activations_i16_tile(from, address(p, 4), columns, address(p, 6), to, scratch);
    else activations_f32_tile(from, address(p, 4), columns, real(p, 7), to);
  }
}

/**
 * format, parts, part, weights, units, panels, columns, x, out, outStride, bias, scratch, scratchStride,
 * bytes from column to column, scales, counter of panels taken: panels [first, last)
 */
export function runLinearColumnsTile(p: usize, thread: i32, tokens: i32, first: i32, last: i32): void {
  const format = word(p, 2), columns = address(p, 8), x = address(p, 9);
  const bytes = elementBytes(format), total = storedRows(format, word(p, 6)), stride = address(p, 15);
  const weights = address(p, 5) + address(p, 4) * total * bytes;
  const panel = address(p, 13) + <usize>thread * address(p, 14), tiles = (tokens + TILE_TOKENS - 1) / TILE_TOKENS;
  const blocked = <i32>((columns + BLOCK - 1) & ~(BLOCK - 1));
  for (let row = <usize>first << 3; row < <usize>last << 3; row += 8) {
    const out = address(p, 10) + (row << 2), bias = address(p, 12) + (row << 2);
    if (format == WEIGHT_Q8) {
      gather_panel_q8(weights + row, stride, columns, panel);
      linear_q8_i16_tile(panel, 0, 1, blocked, x, tiles, out, address(p, 11), bias);
      continue;
    }
    if (format == WEIGHT_Q4) {
      const shares = address(p, 5) + address(p, 4) * q4ShareBytes(total) + (row >> 5);
      const nibbles = address(p, 5) + address(p, 3) * q4ShareBytes(total) + address(p, 4) * (total >> 1) + ((row >> 5) << 4) + (row & 8);
      gather_panel_q4(shares, nibbles, (row & 16) != 0, stride, columns, address(p, 16), panel);
      linearFloatTile(WEIGHT_F32, panel, 0, 1, <i32>columns, x, tiles, out, address(p, 11), bias);
      continue;
    }
    gather_panel_float(weights + row * bytes, stride, columns, bytes << 3, panel);
    linearFloatTile(format, panel, 0, 1, <i32>columns, x, tiles, out, address(p, 11), bias);
  }
}
