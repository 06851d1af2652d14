// Causal attention of one sequence for one key/value head and the query heads that share it, 8 queries at a time, one per
// lane: scores, softmax and sums then need no horizontal step. All products run on the matrix tile kernel.
// Scratch (f32): keys [rows * padded], values [rows * padded], query [padded * 8], probabilities [(rows + 8) * 8],
// sums [padded * 8], statistics [8].
import { exp4 } from "../lanes.as";
import { multiply_tile_f32 } from "../matrix/multiply.as";
import {
  needsMask, pack_head_columns_f32, pack_head_rows_f32, padded8, statedHigh, statedLow, visible,
} from "./sequence-panels.as";

/** First key that one of the queries from `query` on sees, rounded down to a panel. */
// @ts-ignore: decorator
@inline export function firstKey(query: i32, window: i32): i32 {
  return window > 0 ? max(0, query - window + 1) & ~3 : 0;
}

/**
 * query, key, value and out point at the sequence's first row and the first of the heads; logSumExp likewise, one f32
 * per query head. `group` query heads follow each other, `width` values each. `masks` is 0 or the sequence's mask bytes,
 * [rows / 8][padded rows].
 */
export function sequence_attention_f32(
  query: usize, queryStride: usize, key: usize, keyStride: usize, value: usize, valueStride: usize, out: usize,
  outStride: usize, logSumExp: usize, logStride: usize, rows: i32, width: i32, group: i32, scale: f32, window: i32,
  masks: usize, scratch: usize,
): void {
  const wide = padded8(width), tall = padded8(rows);
  const operand = <usize>(wide * tall) << 2, block = <usize>wide << 5;
  const keys = scratch, values = keys + operand, queries = values + operand, sums = queries + block;
  const statistics = sums + block, scores = statistics + 64;
  pack_head_columns_f32(key, keyStride, rows, width, 4, 1, keys);
  pack_head_rows_f32(value, valueStride, rows, width, 4, 1, values);
  for (let head = 0; head < group; head++) {
    const offset = <usize>(head * width) << 2;
    for (let q = 0; q < rows; q += 8) {
      const from = query + offset + <usize>q * queryStride;
      const count = min(8, rows - q);
      pack_head_columns_f32(from, queryStride, count, width, 8, scale, queries);
      const first = firstKey(q, window), end = min(tall, q + 8);
      for (let s = first; s < end; s += 4) {
        multiply_tile_f32(wide, keys + (<usize>(s * wide) << 2), queries, scores + (<usize>s << 5), 32, false);
      }
      if (masks != 0) hideUnstated(scores, first, end, masks + <usize>((q >> 3) * tall));
      softmax(scores, first, end, q, window, statistics);
      for (let i = 0; i < wide; i += 4) {
        const panel = values + (<usize>(i * tall) << 2) + (<usize>first << 4);
        multiply_tile_f32(end - first, panel, scores + (<usize>first << 5), sums + (<usize>i << 5), 32, false);
      }
      for (let r = 0; r < count; r++) {
        const total = load<f32>(statistics + (<usize>r << 2)), inverse = <f32>1 / total;
        const to = out + offset + <usize>(q + r) * outStride;
        for (let i = 0; i < width; i++) {
          store<f32>(to + (<usize>i << 2), load<f32>(sums + (<usize>i << 5) + (<usize>r << 2)) * inverse);
        }
        const largest = load<f32>(statistics + 32 + (<usize>r << 2));
        store<f32>(logSumExp + <usize>(q + r) * logStride + (<usize>head << 2), largest + Mathf.log(total));
      }
    }
  }
}

/** Scores of keys that a query has not stated become -infinity. */
function hideUnstated(scores: usize, first: i32, end: i32, mask: usize): void {
  const hidden = f32x4.splat(-Infinity);
  for (let s = first; s < end; s++) {
    const p = scores + (<usize>s << 5), byte = i32x4.splat(load<u8>(mask + <usize>s));
    v128.store(p, v128.bitselect(v128.load(p), hidden, statedLow(byte)));
    v128.store(p, v128.bitselect(v128.load(p, 16), hidden, statedHigh(byte)), 16);
  }
}

/** Replaces scores [key][8] by e^(score - largest); statistics: 8 sums, 8 largest scores. */
function softmax(scores: usize, first: i32, end: i32, query: i32, window: i32, statistics: usize): void {
  const hidden = f32x4.splat(-Infinity);
  let m0 = hidden, m1 = hidden;
  for (let s = first; s < end; s++) {
    const p = scores + (<usize>s << 5);
    let a = v128.load(p), b = v128.load(p, 16);
    if (needsMask(s, query, window)) {
      a = v128.bitselect(a, hidden, visible(s, query, window));
      b = v128.bitselect(b, hidden, visible(s, query + 4, window));
      v128.store(p, a);
      v128.store(p, b, 16);
    }
    m0 = f32x4.max(m0, a);
    m1 = f32x4.max(m1, b);
  }
  let t0 = f32x4.splat(0), t1 = f32x4.splat(0);
  for (let s = first; s < end; s++) {
    const p = scores + (<usize>s << 5);
    const a = exp4(f32x4.sub(v128.load(p), m0)), b = exp4(f32x4.sub(v128.load(p, 16), m1));
    v128.store(p, a);
    v128.store(p, b, 16);
    t0 = f32x4.add(t0, a);
    t1 = f32x4.add(t1, b);
  }
  v128.store(statistics, t0);
  v128.store(statistics, t1, 16);
  v128.store(statistics, m0, 32);
  v128.store(statistics, m1, 48);
}
