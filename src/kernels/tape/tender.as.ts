// The instructions of tenderLinear: activations to integers, and the product. tape.as.ts hands in how the
// work of this thread is cut; word() and its kin read the arguments in the order that each comment lists.
// Only relaxed SIMD gains by activations of bytes; without it they are t16, whatever the tape calls them.
import { largestMagnitude } from "../lanes.as";
import {
  ACTIVATIONS_SPLIT, ACTIVATIONS_T8, CONTROL_OUTPUT_ROWS, CONTROL_POSITIONS, ROWS_TOKENS, TILE_TOKENS, WEIGHT_T8,
} from "../layout";
import {
  activations_split_row, activations_t16_row, activations_t16_tile, activations_t8_ordered, activations_t8_row, activations_t8_tile,
  tileBytesT16, tileBytesT8,
} from "../tender-linear/activations.as";
import { tender_linear_t4_split_row } from "../tender-linear/linear-t4-split.as";
import { tender_linear_t4_t8_row, tender_linear_t4_t8_tile } from "../tender-linear/linear-t4-relaxed.as";
import { tender_linear_t4_t16_row, tender_linear_t4_t16_tile } from "../tender-linear/linear-t4.as";
import { tender_linear_t8_t16_row, tender_linear_t8_t16_tile } from "../tender-linear/linear-t8.as";
import { tender_linear_t8_t16_combine, tender_linear_t8_t16_pairs } from "../tender-linear/strassen.as";
import { address, real, word } from "./words.as";

/** Position of row `row` of a buffer over tokens or over output rows. */
// @ts-ignore: decorator
@inline function positionOf(control: usize, kind: i32, row: i32): i32 {
  const positions = address(control, CONTROL_POSITIONS >> 2);
  const token = kind == ROWS_TOKENS ? row : load<i32>(address(control, CONTROL_OUTPUT_ROWS >> 2) + (<usize>row << 2));
  return load<i32>(positions + (<usize>token << 2));
}

/**
 * rows, split, format, x, xStride, columns, storedColumns, bias, biasStride, exponents, exponentsStride,
 * scales (0: dynamic), limit, chunkRows, chunks, target, threadStride, xThreadStride, order of columns (0: as
 * they are); rows [first, last) are this thread's
 */
export function runTenderActivations(p: usize, control: usize, thread: i32, rows: i32, first: i32, last: i32): void {
  const format = word(p, 4), stride = address(p, 6), columns = word(p, 7), stored = word(p, 8), scales = address(p, 13);
  const limit = real(p, 14), chunkRows = word(p, 15), lastChunk = word(p, 16) - 1;
  const target = address(p, 17) + <usize>thread * address(p, 18), order = address(p, 20);
  const tileBytes = ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_T8 ? tileBytesT8(stored) : tileBytesT16(stored);
  for (let row = first; row < last; row++) {
    const x = address(p, 5) + <usize>thread * address(p, 19) + <usize>row * stride;
    let chunk = 0;
    let scale: f32, inverse: f32;
    if (scales == 0) {
      const largest = largestMagnitude(x, columns);
      scale = largest / limit;
      inverse = largest == 0 ? 0 : limit / largest;
    } else {
      if (lastChunk > 0) chunk = min(positionOf(control, word(p, 2), row) / chunkRows, lastChunk);
      scale = load<f32>(scales + (<usize>chunk << 2));
      inverse = 1 / scale;
    }
    const bias = address(p, 9) + <usize>chunk * address(p, 10), exponents = address(p, 11) + <usize>chunk * address(p, 12);
    if (order != 0) {
      let to = target, slot: usize = 0, tokens: usize = 1;
      if (rows > 1) {
        to += <usize>(row / TILE_TOKENS) * tileBytes;
        slot = <usize>(row % TILE_TOKENS);
        tokens = TILE_TOKENS;
      }
      activations_t8_ordered(x, stored, order, bias, exponents, scale, inverse, limit, chunk, to, slot, tokens);
    } else if (rows == 1) {
      if (ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_T8) activations_t8_row(x, stored, bias, exponents, scale, inverse, limit, chunk, target);
      else if (ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_SPLIT) activations_split_row(x, stored, bias, exponents, scale, inverse, limit, chunk, target);
      else activations_t16_row(x, stored, bias, exponents, scale, inverse, limit, chunk, target);
    } else {
      const to = target + <usize>(row / TILE_TOKENS) * tileBytes, slot = <usize>(row % TILE_TOKENS);
      if (ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_T8) activations_t8_tile(x, stored, bias, exponents, scale, inverse, limit, chunk, to, slot);
      else activations_t16_tile(x, stored, bias, exponents, scale, inverse, limit, chunk, to, slot);
    }
  }
  // Tokens missing from the last tile keep what an earlier step left there;
  // only their chunk is used as an address.
  if (rows > 1 && last == rows) {
    const to = target + <usize>((rows - 1) / TILE_TOKENS) * tileBytes;
    for (let slot = ((rows - 1) % TILE_TOKENS) + 1; slot < TILE_TOKENS; slot++) store<i32>(to + 16 + <usize>slot * 4, 0);
  }
}

/** Tokens that a batch multiplies at a time; see passTokens of executors/wasm/tender-layout.ts. */
export function tenderPass(p: usize, rows: i32): i32 {
  const tokens = word(p, 17);
  return tokens == 0 ? rows : tokens;
}

/**
 * What a thread does once per pass, whatever the number of its calls: sums of activations.
 * `tokens` from `from` on.
 */
export function prepareTenderPass(p: usize, thread: i32, from: i32, tokens: i32): void {
  if (word(p, 3) != WEIGHT_T8 || word(p, 17) == 0) return;
  const columns = word(p, 6), x = address(p, 8) + <usize>(from / TILE_TOKENS) * tileBytesT16(columns);
  tender_linear_t8_t16_combine(columns, x, tokens, address(p, 15) + <usize>thread * address(p, 16));
}

/**
 * rows, weight format, weights, panels, storedColumns, activation format, x, threadStride, out, outStride,
 * rowScales, offset, offsetStride, scratch, scratchStride, tokens of a pass (0: sums of two codes do not fit
 * 16 bits), counter of pieces taken; panels [first, last) are this thread's. One token.
 */
export function runTenderLinear(p: usize, thread: i32, first: i32, last: i32): void {
  const weights = address(p, 4), columns = word(p, 6), format = word(p, 7), x = address(p, 8) + <usize>thread * address(p, 9);
  const out = address(p, 10), rowScales = address(p, 12), offset = address(p, 13), offsetStride = address(p, 14);
  if (word(p, 3) == WEIGHT_T8) tender_linear_t8_t16_row(weights, first, last, columns, x, out, rowScales, offset, offsetStride);
  else if (ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_SPLIT) {
    tender_linear_t4_split_row(weights, first, last, columns, x, out, rowScales, offset, offsetStride);
  } else if (ASC_FEATURE_RELAXED_SIMD && format == ACTIVATIONS_T8) tender_linear_t4_t8_row(weights, first, last, columns, x, out, rowScales, offset, offsetStride);
  else tender_linear_t4_t16_row(weights, first, last, columns, x, out, rowScales, offset, offsetStride);
}

/** The same for `tokens` tokens from `from` on, a pass. */
export function runTenderLinearTile(p: usize, thread: i32, from: i32, tokens: i32, first: i32, last: i32): void {
  const weights = address(p, 4), columns = word(p, 6), stride = address(p, 11), rowScales = address(p, 12);
  const bytes = ASC_FEATURE_RELAXED_SIMD && word(p, 7) == ACTIVATIONS_T8;
  const tileBytes = bytes ? tileBytesT8(columns) : tileBytesT16(columns);
  const x = address(p, 8) + <usize>(from / TILE_TOKENS) * tileBytes, out = address(p, 10) + <usize>from * stride;
  const offset = address(p, 13), offsetStride = address(p, 14), scratch = address(p, 15) + <usize>thread * address(p, 16);
  const tiles = (tokens + TILE_TOKENS - 1) / TILE_TOKENS;
  if (word(p, 3) == WEIGHT_T8) {
    if (word(p, 17) != 0) {
      tender_linear_t8_t16_pairs(weights, first, last, columns, x, tokens, out, stride, rowScales, offset, offsetStride, scratch);
    } else tender_linear_t8_t16_tile(weights, first, last, columns, x, tiles, out, stride, rowScales, offset, offsetStride, scratch);
  } else if (bytes) tender_linear_t4_t8_tile(weights, first, last, columns, x, tiles, out, stride, rowScales, offset, offsetStride);
  else tender_linear_t4_t16_tile(weights, first, last, columns, x, tiles, out, stride, rowScales, offset, offsetStride, scratch);
}
