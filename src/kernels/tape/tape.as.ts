// The interpreter of compiled programs. A tape is a list of i32 words,
// [opcode, word count, arguments ...]; every thread walks it, does its share of each instruction and meets
// the others at OP_BARRIER. Nothing here allocates and no JavaScript runs between instructions. The
// executor's tape builder decides where barriers stand.
import { add_f32 } from "../add/add.as";
import { tender_attention_f16, tender_attention_f32 } from "../tender-attention/tender-attention.as";
import { attention_f16, attention_f32, attention_q8 } from "../attention/attention.as";
import { embed_bf16, embed_f16, embed_f32, embed_q4, embed_q8 } from "../embed/embed.as";
import { glu_f32 } from "../glu/glu.as";
import {
  ACTIVATIONS_F32, ACTIVATIONS_I16, CACHE_F16, CACHE_Q8, CONTROL_ABORT, CONTROL_OUTPUTS, CONTROL_OUTPUT_ROWS, CONTROL_POSITIONS,
  CONTROL_SLOTS, CONTROL_SPANS, CONTROL_TAPE, CONTROL_THREADS, CONTROL_TOKENS, CONTROL_TOKEN_IDS, OP_ACTIVATIONS,
  OP_ADD, OP_ATTENTION, OP_BARRIER, OP_CHOOSE_CACHED, OP_COLUMN_ACTIVATIONS, OP_COLUMN_SUMS, OP_EMBED, OP_END,
  OP_FETCH_COLUMNS, OP_GLU, OP_LINEAR, OP_LINEAR_COLUMNS, OP_LINEAR_COLUMNS_TILE, OP_LINEAR_ROWS, OP_LINEAR_ROWS_TILE,
  OP_READ_MEMORY, OP_RMS_NORM, OP_ROPE, OP_SCALE, OP_SELECT_COLUMNS, OP_SELECT_OUTPUTS, OP_STORE_KEY_VALUE,
  OP_TENDER_ACTIVATIONS, OP_TENDER_LINEAR, ROWS_TOKENS, SPAN_ROW_BYTES, SPLIT_NONE, TILE_TOKENS, WEIGHT_BF16,
  WEIGHT_F16, WEIGHT_F32, WEIGHT_Q4, WEIGHT_Q8,
} from "../layout";
import {
  activations_f32_row, activations_f32_tile, activations_i16_row, activations_i16_tile, activations_i8_row,
  activations_i8_tile,
} from "../linear/activations.as";
import { linearFloatRow, linearFloatTile } from "../linear/linear-float.as";
import { linear_q4_i8_row, linear_q4_i8_tile } from "../linear/linear-q4.as";
import { linear_q8_i16_row, linear_q8_i16_tile } from "../linear/linear-q8.as";
import { rms_norm_f32 } from "../rms-norm/rms-norm.as";
import { rope_f32_halves, rope_f32_interleaved } from "../rope/rope.as";
import { scale_f32 } from "../scale/scale.as";
import { store_key_value_q8 } from "../store-key-value/store-codes.as";
import { store_key_value_f16, store_key_value_f32 } from "../store-key-value/store-key-value.as";
import { take } from "../take.as";
import { announce, awaitStep, barrier } from "./barrier.as";
import { runChooseCached, runColumnActivations, runColumnSums, runLinearColumns, runLinearColumnsTile, runSelectColumns } from "./columns.as";
import { fetchColumns } from "./fetch.as";
import { runLinearRows, runLinearRowsTile } from "./rows.as";
import { prepareTenderPass, runTenderActivations, runTenderLinear, runTenderLinearTile, tenderPass } from "./tender.as";
import { runTraining } from "./training.as";
import { address, real, shareOf, word } from "./words.as";

/** Set once per instance by the host: control block, this thread's index. */
let control: usize = 0;
let thread: i32 = 0;
let threads: i32 = 1;

/**
 * Panels of a batched linear that a thread takes at a time: some milliseconds of work. Between them it
 * looks at the abort flag. Shares fixed in advance would make all wait for a thread that something else on
 * the machine holds up.
 */
const PIECE = 8;

/**
 * True once the step is to stop. Threads notice at different times, so what is left is skipped but no barrier
 * is: at the next one, or at the end, all learn together that the step has stopped.
 */
// @ts-ignore: decorator
@inline function stopping(): bool { return atomic.load<i32>(control + CONTROL_ABORT) != 0; }

// @ts-ignore: decorator
@inline function rowCount(kind: i32): i32 {
  return load<i32>(control + (kind == ROWS_TOKENS ? CONTROL_TOKENS : CONTROL_OUTPUTS));
}

// @ts-ignore: decorator
@inline function share(count: i32, index: i32): i32 { return shareOf(count, index, threads); }

// @ts-ignore: decorator
@inline function firstRow(split: i32, rows: i32): i32 {
  return split == SPLIT_NONE ? 0 : min(rows, share((rows + TILE_TOKENS - 1) / TILE_TOKENS, thread) * TILE_TOKENS);
}

// @ts-ignore: decorator
@inline function lastRow(split: i32, rows: i32): i32 {
  return split == SPLIT_NONE ? rows : min(rows, share((rows + TILE_TOKENS - 1) / TILE_TOKENS, thread + 1) * TILE_TOKENS);
}

/** split, weight format, table, columns, factor, out, outStride */
function runEmbed(p: usize): void {
  const rows = rowCount(ROWS_TOKENS), format = word(p, 3), table = address(p, 4), columns = word(p, 5);
  const factor = real(p, 6), stride = address(p, 8);
  const tokens = address(control, CONTROL_TOKEN_IDS >> 2);
  for (let row = firstRow(word(p, 2), rows), last = lastRow(word(p, 2), rows); row < last; row++) {
    const token = <usize>load<i32>(tokens + (<usize>row << 2)), out = address(p, 7) + <usize>row * stride;
    if (format == WEIGHT_F32) embed_f32(table, token, columns, factor, out);
    else if (format == WEIGHT_F16) embed_f16(table, token, columns, factor, out);
    else if (format == WEIGHT_BF16) embed_bf16(table, token, columns, factor, out);
    else if (format == WEIGHT_Q8) embed_q8(table, token, columns, factor, out);
    else embed_q4(table, token, columns, factor, out);
  }
}

/** rows, split, x, xStride, weight, out, outStride, width, groups, epsilon, outThreadStride */
function runRmsNorm(p: usize): void {
  const rows = rowCount(word(p, 2)), out = address(p, 7) + <usize>thread * address(p, 12);
  for (let row = firstRow(word(p, 3), rows), last = lastRow(word(p, 3), rows); row < last; row++) {
    rms_norm_f32(
      address(p, 4) + <usize>row * address(p, 5), address(p, 6), out + <usize>row * address(p, 8),
      word(p, 9), word(p, 10), real(p, 11),
    );
  }
}

/** rows, split, format, x, xStride, columns, factor, target, threadStride, tileBytes, xThreadStride */
function runActivations(p: usize): void {
  const rows = rowCount(word(p, 2)), format = word(p, 4), x = address(p, 5) + <usize>thread * address(p, 12), stride = address(p, 6), columns = word(p, 7);
  const factor = real(p, 8), target = address(p, 9) + <usize>thread * address(p, 10), tileBytes = address(p, 11);
  const first = firstRow(word(p, 3), rows), last = lastRow(word(p, 3), rows);
  if (first >= last) return;
  if (rows == 1) {
    if (format == ACTIVATIONS_F32) activations_f32_row(x, columns, factor, target);
    else if (format == ACTIVATIONS_I16) activations_i16_row(x, columns, target);
    else activations_i8_row(x, columns, target);
    return;
  }
  for (let row = first; row < last; row += TILE_TOKENS) {
    const from = x + <usize>row * stride, to = target + (<usize>row / TILE_TOKENS) * tileBytes;
    if (format == ACTIVATIONS_F32) activations_f32_tile(from, stride, columns, factor, to);
    else if (format == ACTIVATIONS_I16) activations_i16_tile(from, stride, columns, to);
    else activations_i8_tile(from, stride, columns, to);
  }
}

/**
 * rows, weight format, weights, panels, columns, x, threadStride, out, outStride, bias,
 * counter of panels taken
 */
function runLinear(p: usize): void {
  const rows = rowCount(word(p, 2)), format = word(p, 3), weights = address(p, 4), panels = word(p, 5), columns = word(p, 6);
  const x = address(p, 7) + <usize>thread * address(p, 8), out = address(p, 9), stride = address(p, 10), bias = address(p, 11);
  if (rows == 0) return;
  if (rows == 1) {
    const first = share(panels, thread), last = share(panels, thread + 1);
    if (first == last) return;
    if (format == WEIGHT_Q8) linear_q8_i16_row(weights, first, last, columns, x, out, bias);
    else if (format == WEIGHT_Q4) linear_q4_i8_row(weights, first, last, columns, x, out, bias);
    else linearFloatRow(format, weights, first, last, columns, x, out, bias);
    return;
  }
  const tiles = (rows + TILE_TOKENS - 1) / TILE_TOKENS, counter = address(p, 12);
  for (let from = take(counter, PIECE); from < panels && !stopping(); from = take(counter, PIECE)) {
    const to = min(panels, from + PIECE);
    if (format == WEIGHT_Q8) linear_q8_i16_tile(weights, from, to, columns, x, tiles, out, stride, bias);
    else if (format == WEIGHT_Q4) linear_q4_i8_tile(weights, from, to, columns, x, tiles, out, stride, bias);
    else linearFloatTile(format, weights, from, to, columns, x, tiles, out, stride, bias);
  }
}

/** x, xStride, heads, headWidth, pairs, interleaved, angles */
function runRope(p: usize): void {
  const rows = rowCount(ROWS_TOKENS), heads = word(p, 4), headWidth = word(p, 5), pairs = word(p, 6);
  const first = share(heads, thread), last = share(heads, thread + 1);
  for (let row: usize = 0; row < <usize>rows; row++) {
    const x = address(p, 2) + row * address(p, 3), angles = address(p, 8) + ((row * <usize>pairs) << 3);
    if (word(p, 7)) rope_f32_interleaved(x, first, last, headWidth, pairs, angles);
    else rope_f32_halves(x, first, last, headWidth, pairs, angles);
  }
}

/**
 * cache format, key, keyStride, value, valueStride, keys, values, slotBytes, kvHeads,
 * headWidth, capacity, echo
 */
function runStoreKeyValue(p: usize): void {
  const rows = rowCount(ROWS_TOKENS), kvHeads = word(p, 10), headWidth = word(p, 11), capacity = word(p, 12);
  const first = share(kvHeads, thread), last = share(kvHeads, thread + 1), echo = address(p, 13);
  const positions = address(control, CONTROL_POSITIONS >> 2), slots = address(control, CONTROL_SLOTS >> 2);
  for (let row: usize = 0; row < <usize>rows; row++) {
    const key = address(p, 3) + row * address(p, 4), value = address(p, 5) + row * address(p, 6);
    const slot = <usize>load<i32>(slots + (row << 2)) * address(p, 9), position = load<i32>(positions + (row << 2));
    const keys = address(p, 7) + slot, values = address(p, 8) + slot;
    if (word(p, 2) == CACHE_F16) store_key_value_f16(key, value, keys, values, first, last, headWidth, capacity, position, echo);
    else if (word(p, 2) == CACHE_Q8) store_key_value_q8(key, value, keys, values, first, last, headWidth, capacity, position, echo);
    else store_key_value_f32(key, value, keys, values, first, last, headWidth, capacity, position, echo);
  }
}

/** Writes the intervals of [start, end) that a row sees to `target`; returns how many they are. */
function placeIntervals(row: usize, start: i32, end: i32, target: usize): i32 {
  const spans = address(control, CONTROL_SPANS >> 2), stated = spans + row * SPAN_ROW_BYTES;
  if (spans == 0 || load<i32>(stated) == 0) {
    store<i32>(target, start);
    store<i32>(target, end, 4);
    return 1;
  }
  let count = 0;
  for (let i = 0, all = load<i32>(stated); i < all; i++) {
    const from = max(start, load<i32>(stated + (<usize>i << 3), 4)), to = load<i32>(stated + (<usize>i << 3), 8);
    if (from >= to) continue;
    store<i32>(target + (<usize>count << 3), from);
    store<i32>(target + (<usize>count << 3), to, 4);
    count++;
  }
  return count;
}

/**
 * cache format, query, queryStride, out, outStride, keys, values, slotBytes, heads, group, headWidth,
 * capacity, window (0: none), scale, scratch, scratchStride, seven tables of integer products (the first 0:
 * none; tender-attention.as.ts), echo
 */
function runAttention(p: usize): void {
  const rows = rowCount(ROWS_TOKENS), heads = word(p, 10), group = word(p, 11), headWidth = word(p, 12), capacity = word(p, 13);
  const first = share(heads, thread), last = share(heads, thread + 1), window = word(p, 14), scale = real(p, 15);
  const scratch = address(p, 16) + <usize>thread * address(p, 17), echo = address(p, 25);
  const positions = address(control, CONTROL_POSITIONS >> 2), slots = address(control, CONTROL_SLOTS >> 2);
  for (let row: usize = 0; row < <usize>rows && !stopping(); row++) {
    const query = address(p, 3) + row * address(p, 4), out = address(p, 5) + row * address(p, 6);
    const slot = <usize>load<i32>(slots + (row << 2)) * address(p, 9), end = load<i32>(positions + (row << 2)) + 1;
    const keys = address(p, 7) + slot, values = address(p, 8) + slot;
    const count = placeIntervals(row, window > 0 ? max(0, end - window) : 0, end, scratch), rest = scratch + SPAN_ROW_BYTES;
    if (word(p, 18) != 0) {
      const tables = p + 18 * 4;
      if (word(p, 2) == CACHE_F16) {
        tender_attention_f16(query, out, keys, values, first, last, group, headWidth, capacity, scratch, count, scale, tables, rest);
      } else {
        tender_attention_f32(query, out, keys, values, first, last, group, headWidth, capacity, scratch, count, scale, tables, rest);
      }
    } else if (word(p, 2) == CACHE_F16) {
      attention_f16(query, out, keys, values, first, last, group, headWidth, capacity, scratch, count, scale, rest, echo);
    } else if (word(p, 2) == CACHE_Q8) {
      attention_q8(query, out, keys, values, first, last, group, headWidth, capacity, scratch, count, scale, rest, echo);
    } else {
      attention_f32(query, out, keys, values, first, last, group, headWidth, capacity, scratch, count, scale, rest, echo);
    }
  }
}

/** rows, activation, threshold, gate, gateStride, up, upStride, out, outStride, panels */
function runGlu(p: usize): void {
  const rows = rowCount(word(p, 2)), panels = word(p, 11);
  const first = <usize>share(panels, thread) << 5, bytes = (<usize>share(panels, thread + 1) << 5) - first;
  for (let row: usize = 0; row < <usize>rows; row++) {
    const gate = address(p, 5) + row * address(p, 6) + first, up = address(p, 7) + row * address(p, 8) + first;
    glu_f32(word(p, 3), real(p, 4), gate, up, address(p, 9) + row * address(p, 10) + first, bytes);
  }
}

/** rows, a, aStride, b, bStride, out, outStride, panels, factor */
function runAdd(p: usize): void {
  const rows = rowCount(word(p, 2)), panels = word(p, 9);
  const first = <usize>share(panels, thread) << 5, bytes = (<usize>share(panels, thread + 1) << 5) - first;
  for (let row: usize = 0; row < <usize>rows; row++) {
    add_f32(
      address(p, 3) + row * address(p, 4) + first, address(p, 5) + row * address(p, 6) + first,
      address(p, 7) + row * address(p, 8) + first, bytes, real(p, 10),
    );
  }
}

/** rows, x, xStride, out, outStride, panels, factor */
function runScale(p: usize): void {
  const rows = rowCount(word(p, 2)), panels = word(p, 7);
  const first = <usize>share(panels, thread) << 5, bytes = (<usize>share(panels, thread + 1) << 5) - first;
  for (let row: usize = 0; row < <usize>rows; row++) {
    scale_f32(
      address(p, 3) + row * address(p, 4) + first, address(p, 5) + row * address(p, 6) + first, bytes, real(p, 8),
    );
  }
}

/** split, x, xStride, out, outStride */
function runSelectOutputs(p: usize): void {
  const rows = load<i32>(control + CONTROL_OUTPUTS), picked = address(control, CONTROL_OUTPUT_ROWS >> 2);
  for (let row = firstRow(word(p, 2), rows), last = lastRow(word(p, 2), rows); row < last; row++) {
    const from = <usize>load<i32>(picked + (<usize>row << 2));
    memory.copy(address(p, 5) + <usize>row * address(p, 6), address(p, 3) + from * address(p, 4), address(p, 6));
  }
}

/** start, bytes (a multiple of 64 per thread): reads and does nothing else, the roofline. */
function runReadMemory(p: usize): void {
  const units = word(p, 3) >>> 6;
  let at = address(p, 2) + (<usize>share(units, thread) << 6);
  const end = address(p, 2) + (<usize>share(units, thread + 1) << 6);
  let a = i32x4.splat(0), b = i32x4.splat(0), c = i32x4.splat(0), d = i32x4.splat(0);
  for (; at < end; at += 64) {
    a = v128.xor(a, v128.load(at));
    b = v128.xor(b, v128.load(at, 16));
    c = v128.xor(c, v128.load(at, 32));
    d = v128.xor(d, v128.load(at, 48));
  }
  // A use that the compiler cannot remove and that never happens.
  if (v128.all_true<i8>(v128.xor(v128.xor(a, b), v128.xor(c, d))) && threads < 0) store<i32>(control, 1);
}

/**
 * Pieces of one pass over the tokens after the other.
 * A thread adds up activations when it first meets a pass.
 */
function runTenderBatch(p: usize, rows: i32, panels: i32): void {
  const tokens = tenderPass(p, rows), pieces = (panels + PIECE - 1) / PIECE, counter = address(p, 18);
  let prepared = -1;
  for (let piece = take(counter, 1); piece < pieces * ((rows + tokens - 1) / tokens) && !stopping(); piece = take(counter, 1)) {
    const from = piece / pieces * tokens, count = min(tokens, rows - from), first = piece % pieces * PIECE;
    if (from != prepared) prepareTenderPass(p, thread, from, count);
    prepared = from;
    runTenderLinearTile(p, thread, from, count, first, min(panels, first + PIECE));
  }
}

/** A batch's product over all columns or rows of a matrix that decoding reads by choice. */
function runChosenTiles(p: usize, panels: i32, counter: usize): void {
  const tokens = rowCount(ROWS_TOKENS), columns = word(p, 0) == OP_LINEAR_COLUMNS_TILE;
  for (let first = take(counter, PIECE); first < panels && !stopping(); first = take(counter, PIECE)) {
    const last = min(panels, first + PIECE);
    if (columns) runLinearColumnsTile(p, thread, tokens, first, last);
    else runLinearRowsTile(p, thread, tokens, first, last);
  }
}

/** Walks the tape of the current step up to OP_END; true when it was stopped. */
function run(): bool {
  let p = load<usize>(control + CONTROL_TAPE);
  while (true) {
    if (word(p, 0) > OP_BARRIER && stopping()) {
      p += <usize>word(p, 1) << 2;
      continue;
    }
    switch (word(p, 0)) {
      case OP_BARRIER: if (barrier(control)) return true; break;
      case OP_EMBED: runEmbed(p); break;
      case OP_RMS_NORM: runRmsNorm(p); break;
      case OP_ACTIVATIONS: runActivations(p); break;
      case OP_LINEAR: runLinear(p); break;
      case OP_ROPE: runRope(p); break;
      case OP_STORE_KEY_VALUE: runStoreKeyValue(p); break;
      case OP_ATTENTION: runAttention(p); break;
      case OP_GLU: runGlu(p); break;
      case OP_ADD: runAdd(p); break;
      case OP_SCALE: runScale(p); break;
      case OP_SELECT_OUTPUTS: runSelectOutputs(p); break;
      case OP_READ_MEMORY: runReadMemory(p); break;
      case OP_SELECT_COLUMNS: runSelectColumns(p, thread); break;
      case OP_CHOOSE_CACHED: runChooseCached(p, control, thread); break;
      case OP_LINEAR_COLUMNS: runLinearColumns(p, thread, threads); break;
      case OP_FETCH_COLUMNS: if (thread == 0) fetchColumns(p, control); break;
      case OP_COLUMN_SUMS: runColumnSums(p, thread, threads); break;
      case OP_COLUMN_ACTIVATIONS: runColumnActivations(p, thread, threads, rowCount(ROWS_TOKENS)); break;
      case OP_LINEAR_COLUMNS_TILE: runChosenTiles(p, word(p, 7), address(p, 17)); break;
      case OP_LINEAR_ROWS: runLinearRows(p, thread, threads); break;
      case OP_LINEAR_ROWS_TILE: runChosenTiles(p, word(p, 6), address(p, 13)); break;
      case OP_TENDER_ACTIVATIONS: {
        const rows = rowCount(word(p, 2));
        runTenderActivations(p, control, thread, rows, firstRow(word(p, 3), rows), lastRow(word(p, 3), rows));
        break;
      }
      case OP_TENDER_LINEAR: {
        const rows = rowCount(word(p, 2)), panels = word(p, 5);
        if (rows == 1) runTenderLinear(p, thread, share(panels, thread), share(panels, thread + 1));
        else if (rows > 1) runTenderBatch(p, rows, panels);
        break;
      }
      case OP_END: return barrier(control);
      default: runTraining(p, control, thread, threads);
    }
    p += <usize>word(p, 1) << 2;
  }
}

/** Tells an instance which thread it is. */
export function attach(controlBlock: usize, index: i32): void {
  control = controlBlock;
  thread = index;
  threads = load<i32>(controlBlock + CONTROL_THREADS);
}

/** Thread 0: runs one step on all threads; 1 when it was stopped by the abort flag. */
export function step(): i32 {
  announce(control);
  return run() ? 1 : 0;
}

/** Helper threads: serve steps until told to end. */
export function serve(): void {
  let seen = 0;
  while (awaitStep(control, seen)) {
    seen++;
    run();
  }
}
