// Gradient of attention for one sequence, one key/value head and its query heads. Probabilities are computed again from
// the log-sum-exp, 64 queries at a time as 8 panels of 8 lanes; sums over queries then run over whole blocks. The
// gradients of key and value add up over queries and heads in order in scratch, so one thread owns them.
// Scratch (f32): keys, keysByDim, values, dKey, dValue [rows * padded each], query and dy panels [64 * padded each],
// query and dy rows [64 * padded each], sums [padded * 8], turned [64 * 4], statistics [16], probabilities and their
// gradients [8 * (rows + 8) * 8 each].
import { exp4 } from "../lanes.as";
import { multiply_tile_f32, transpose_rows_f32 } from "../matrix/multiply.as";
import { QUERY_BLOCK } from "../training-layout";
import { firstKey } from "./sequence.as";
import {
  needsMask, pack_head_columns_f32, pack_head_rows_f32, padded8, statedHigh, statedLow, visible,
} from "./sequence-panels.as";

/** Pointers are to the sequence's first row and the first of the heads, as in sequence_attention_f32. */
export function attention_gradient_f32(
  query: usize, queryStride: usize, key: usize, keyStride: usize, value: usize, valueStride: usize, attended: usize,
  attendedStride: usize, dy: usize, dyStride: usize, logSumExp: usize, logStride: usize, dQuery: usize,
  dQueryStride: usize, dKey: usize, dKeyStride: usize, dValue: usize, dValueStride: usize, rows: i32, width: i32,
  group: i32, scale: f32, window: i32, masks: usize, scratch: usize,
): void {
  const wide = padded8(width), tall = padded8(rows);
  const operand = <usize>(wide * tall) << 2, block = <usize>(wide * QUERY_BLOCK) << 2;
  const keys = scratch, keysByDim = keys + operand, values = keysByDim + operand;
  const keySums = values + operand, valueSums = keySums + operand;
  const queryPanels = valueSums + operand, dyPanels = queryPanels + block;
  const queryRows = dyPanels + block, dyRows = queryRows + block, sums = dyRows + block;
  const turned = sums + (<usize>wide << 5), statistics = turned + (QUERY_BLOCK << 4);
  const panelBytes = <usize>(tall + 8) << 5;
  const probabilities = statistics + 64, slopes = probabilities + (<usize>QUERY_BLOCK >> 3) * panelBytes;
  pack_head_columns_f32(key, keyStride, rows, width, 4, 1, keys);
  pack_head_rows_f32(key, keyStride, rows, width, 4, 1, keysByDim);
  pack_head_columns_f32(value, valueStride, rows, width, 4, 1, values);
  memory.fill(keySums, 0, 2 * operand);
  for (let head = 0; head < group; head++) {
    const offset = <usize>(head * width) << 2;
    for (let q = 0; q < rows; q += QUERY_BLOCK) {
      const count = min(QUERY_BLOCK, rows - q), panels = (count + 7) >> 3;
      const queryAt = query + offset + <usize>q * queryStride, dyAt = dy + offset + <usize>q * dyStride;
      pack_head_columns_f32(queryAt, queryStride, count, width, 8, scale, queryPanels);
      pack_head_columns_f32(dyAt, dyStride, count, width, 8, 1, dyPanels);
      pack_head_rows_f32(queryAt, queryStride, count, width, 8, scale, queryRows);
      pack_head_rows_f32(dyAt, dyStride, count, width, 8, 1, dyRows);
      const first = firstKey(q, window), end = min(tall, q + (panels << 3));
      for (let panel = 0; panel < panels; panel++) {
        const at = q + (panel << 3), lanes = min(8, rows - at);
        const p = probabilities + <usize>panel * panelBytes, d = slopes + <usize>panel * panelBytes;
        const shift = <usize>(panel * wide) << 5;
        const panelEnd = min(tall, at + 8);
        for (let s = first; s < panelEnd; s += 4) {
          const step = <usize>(s * wide) << 2, to = <usize>s << 5;
          multiply_tile_f32(wide, keys + step, queryPanels + shift, p + to, 32, false);
          multiply_tile_f32(wide, values + step, dyPanels + shift, d + to, 32, false);
        }
        gatherStatistics(
          attended + offset + <usize>at * attendedStride, attendedStride, dy + offset + <usize>at * dyStride, dyStride,
          logSumExp + <usize>at * logStride + (<usize>head << 2), logStride, lanes, width, statistics,
        );
        differentiateSoftmax(p, d, first, panelEnd, at, window, statistics);
        if (masks != 0) dropUnstated(p, d, first, panelEnd, masks + <usize>((at >> 3) * tall));
        const rest = <usize>(end - panelEnd) << 5, from = <usize>panelEnd << 5;
        memory.fill(p + from, 0, rest);
        memory.fill(d + from, 0, rest);
        for (let i = 0; i < wide; i += 4) {
          const dims = keysByDim + (<usize>(i * tall) << 2) + (<usize>first << 4);
          multiply_tile_f32(panelEnd - first, dims, d + (<usize>first << 5), sums + (<usize>i << 5), 32, false);
        }
        for (let r = 0; r < lanes; r++) {
          const to = dQuery + offset + <usize>(at + r) * dQueryStride;
          for (let i = 0; i < width; i++) {
            store<f32>(to + (<usize>i << 2), load<f32>(sums + (<usize>i << 5) + (<usize>r << 2)) * scale);
          }
        }
      }
      for (let s = first; s < end; s += 4) {
        addOverQueries(probabilities, panelBytes, panels, s, dyRows, wide, valueSums, turned);
        addOverQueries(slopes, panelBytes, panels, s, queryRows, wide, keySums, turned);
      }
    }
  }
  const bytes = <usize>width << 2;
  for (let row: usize = 0; row < <usize>rows; row++) {
    memory.copy(dKey + row * dKeyStride, keySums + ((row * <usize>wide) << 2), bytes);
    memory.copy(dValue + row * dValueStride, valueSums + ((row * <usize>wide) << 2), bytes);
  }
}

/** statistics: 8 log-sum-exps (infinite for missing queries: their probabilities vanish), 8 products dy . attended. */
function gatherStatistics(
  attended: usize, attendedStride: usize, dy: usize, dyStride: usize, logSumExp: usize, logStride: usize, lanes: i32,
  width: i32, statistics: usize,
): void {
  for (let r: usize = 0; r < 8; r++) {
    let denominator: f32 = Infinity, product: f32 = 0;
    if (r < <usize>lanes) {
      denominator = load<f32>(logSumExp + r * logStride);
      for (let i: usize = 0; i < <usize>width << 2; i += 4) {
        product += load<f32>(attended + r * attendedStride + i) * load<f32>(dy + r * dyStride + i);
      }
    }
    store<f32>(statistics + (r << 2), denominator);
    store<f32>(statistics + 32 + (r << 2), product);
  }
}

/** p: scores -> probabilities; d: dy . value -> gradient of the scores. */
function differentiateSoftmax(p: usize, d: usize, first: i32, end: i32, query: i32, window: i32, statistics: usize): void {
  const l0 = v128.load(statistics), l1 = v128.load(statistics, 16);
  const e0 = v128.load(statistics, 32), e1 = v128.load(statistics, 48);
  for (let s = first; s < end; s++) {
    const at = <usize>s << 5;
    let a = exp4(f32x4.sub(v128.load(p + at), l0)), b = exp4(f32x4.sub(v128.load(p + at, 16), l1));
    if (needsMask(s, query, window)) {
      a = v128.and(a, visible(s, query, window));
      b = v128.and(b, visible(s, query + 4, window));
    }
    v128.store(p + at, a);
    v128.store(p + at, b, 16);
    v128.store(d + at, f32x4.mul(a, f32x4.sub(v128.load(d + at), e0)));
    v128.store(d + at, f32x4.mul(b, f32x4.sub(v128.load(d + at, 16), e1)), 16);
  }
}

/** What a query has not stated has no probability and no gradient. */
function dropUnstated(p: usize, d: usize, first: i32, end: i32, mask: usize): void {
  for (let s = first; s < end; s++) {
    const at = <usize>s << 5, byte = i32x4.splat(load<u8>(mask + <usize>s));
    const low = statedLow(byte), high = statedHigh(byte);
    v128.store(p + at, v128.and(v128.load(p + at), low));
    v128.store(p + at, v128.and(v128.load(p + at, 16), high), 16);
    v128.store(d + at, v128.and(v128.load(d + at), low));
    v128.store(d + at, v128.and(v128.load(d + at, 16), high), 16);
  }
}

/** target [key s to s + 3][wide] += sum over the block's queries of weights [query][key] times rows [query][wide]. */
function addOverQueries(
  weights: usize, panelBytes: usize, panels: i32, s: i32, rows: usize, wide: i32, target: usize, turned: usize,
): void {
  for (let panel: usize = 0; panel < <usize>panels; panel++) {
    transpose_rows_f32(weights + panel * panelBytes + (<usize>s << 5), 32, 8, turned + (panel << 7), 16);
  }
  const steps = panels << 3;
  for (let i = 0; i < wide; i += 8) {
    const panel = rows + (<usize>(i * steps) << 2);
    const to = target + (<usize>(s * wide + i) << 2);
    multiply_tile_f32(steps, turned, panel, to, <usize>wide << 2, true);
  }
}
