// Tape instructions of linearRows: chosen rows for one token, shared among threads by their number; for
// several tokens all rows, which are packed into panels as they pass (kernels/linear/pack.as.ts) and
// multiplied by the dense kernels.
import { linearFloatRow, linearFloatTile } from "../linear/linear-float.as";
import { linear_q8_i16_row, linear_q8_i16_tile } from "../linear/linear-q8.as";
import { pack_16, pack_32, pack_q8 } from "../linear/pack.as";
import {
  linear_rows_bf16_f32, linear_rows_f16_f32, linear_rows_f32_f32, linear_rows_q8_i16,
} from "../linear-rows/linear-rows.as";
import { PANEL_ROWS, TILE_TOKENS, WEIGHT_F16, WEIGHT_F32, WEIGHT_Q8 } from "../layout";
import { address, shareOf, word } from "./words.as";

/** format, weights, rowBytes, columns, x, xThreadStride, selection, selectionThreadStride, out, counters */
export function runLinearRows(p: usize, thread: i32, threads: i32): void {
  const format = word(p, 2), weights = address(p, 3), rowBytes = address(p, 4), columns = word(p, 5);
  const x = address(p, 6) + <usize>thread * address(p, 7), selection = address(p, 8) + <usize>thread * address(p, 9);
  const total = load<i32>(selection), first = shareOf(total, thread, threads), last = shareOf(total, thread + 1, threads);
  const count = <usize>(last - first), indices = selection + 16 + (<usize>first << 2), out = address(p, 10);
  const counter = address(p, 11) + <usize>(thread << 6);
  store<i64>(counter, load<i64>(counter) + <i64>count * <i64>rowBytes);
  if (count == 0) return;
  if (format == WEIGHT_Q8) linear_rows_q8_i16(weights, rowBytes, columns, indices, count, x, out);
  else if (format == WEIGHT_F16) linear_rows_f16_f32(weights, rowBytes, columns, indices, count, x, out);
  else if (format == WEIGHT_F32) linear_rows_f32_f32(weights, rowBytes, columns, indices, count, x, out);
  else linear_rows_bf16_f32(weights, rowBytes, columns, indices, count, x, out);
}

/**
 * format, weights, rowBytes, columns, panels, x, out, outStride, zeros, scratch, scratchStride, counter of
 * panels taken: panels [first, last)
 */
export function runLinearRowsTile(p: usize, thread: i32, tokens: i32, first: i32, last: i32): void {
  const format = word(p, 2), rowBytes = address(p, 4), columns = word(p, 5), x = address(p, 7), stride = address(p, 9);
  const bias = address(p, 10), panel = address(p, 11) + <usize>thread * address(p, 12);
  const tiles = (tokens + TILE_TOKENS - 1) / TILE_TOKENS;
  for (let at = first; at < last; at++) {
    const rows = address(p, 3) + <usize>(at * PANEL_ROWS) * rowBytes, out = address(p, 8) + (<usize>at << 5);
    if (format == WEIGHT_Q8) pack_q8(rows, rowBytes, PANEL_ROWS, columns, panel);
    else if (format == WEIGHT_F32) pack_32(rows, rowBytes, PANEL_ROWS, columns, panel);
    else pack_16(rows, rowBytes, PANEL_ROWS, columns, panel);
    if (tokens == 1) {
      if (format == WEIGHT_Q8) linear_q8_i16_row(panel, 0, 1, columns, x, out, bias);
      else linearFloatRow(format, panel, 0, 1, columns, x, out, bias);
    } else {
      if (format == WEIGHT_Q8) linear_q8_i16_tile(panel, 0, 1, columns, x, tiles, out, stride, bias);
      else linearFloatTile(format, panel, 0, 1, columns, x, tiles, out, stride, bias);
    }
  }
}
