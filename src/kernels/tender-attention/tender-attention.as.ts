// Attention of one token with both products made of integers (reference.ts says what of), over the same
// cache and intervals as attention.as.ts. Keys and values become codes while they are read: the cache keeps
// floats, so this is the method's arithmetic and not its saving. Eight positions of a panel, or four
// channels of a value, fill the lanes; sums are exact in i32, those of values in blocks of positions that
// are added up in f32.
// Scratch per thread: codes, bias and centred query [3][stored], then scores
// [capacity + 8 + 16 per interval], all 32 bits. Tables are seven words: addresses of query bias, query
// exponents, query scales, key bias and value scales, the limit of codes (f32) and the groups of scores.
import { hideOutside } from "../attention/scores.as";
import { exponentiate, panelScores } from "../attention/softmax.as";
import { halfMask, HALF_SCALE, widenHalf } from "../lanes.as";

/** Positions whose products fit 32 bits together; program/tender-attention.ts has the bound. */
const SCORE_BLOCK: usize = 512;

// @ts-ignore: decorator
@inline function table(tables: usize, index: usize): usize { return <usize>load<u32>(tables + (index << 2)); }

/** Four cached values. */
// @ts-ignore: decorator
@inline function cached<E>(p: usize, offset: u32, mask: v128): v128 {
  if (isFloat<E>()) return v128.load(p + offset);
  return f32x4.mul(widenHalf(p, offset, mask), f32x4.splat(HALF_SCALE));
}

/**
 * Codes (i32), bias and query - bias of one head into scratch; returns the sum of (query - bias) * key bias.
 */
function prepareQuery(
  query: usize, head: usize, kvHead: usize, width: usize, stored: usize, scale: f32, tables: usize, scratch: usize,
): f32 {
  const limit = load<f32>(tables, 20), step = load<f32>(table(tables, 2) + (head << 2));
  const inverse: f32 = step == 0 ? 0 : 1 / step;
  const row = head * width << 2, bytes = stored << 2;
  const biases = table(tables, 0) + row, exponents = table(tables, 1) + row, keyBias = table(tables, 3) + (kvHead * width << 2);
  let constant: f32 = 0;
  for (let i: usize = 0; i < width << 2; i += 4) {
    const bias = load<f32>(biases + i), e = <i32>load<f32>(exponents + i);
    const centred = load<f32>(query + i) * scale - bias;
    const down = reinterpret<f32>((127 - e) << 23);
    const code = max<f32>(-limit, min<f32>(limit, nearest<f32>(centred * (inverse * down))));
    store<i32>(scratch + i, <i32>code << e);
    store<f32>(scratch + bytes + i, bias);
    constant += centred * load<f32>(keyBias + i);
  }
  return constant;
}

/** Scores of the positions [start, end), whole panels with minus infinity outside. */
// @ts-ignore: decorator
@inline function scoreCodes<E>(
  scratch: usize, keys: usize, keyBias: usize, width: usize, stored: usize, start: i32, end: i32, step: f32, constant: f32,
  limit: f32, scores: usize,
): void {
  const mask = halfMask();
  const stride = 8 * sizeof<E>(), half = <u32>(4 * sizeof<E>()), last = width << 2, bytes = stored << 2;
  const limits = f32x4.splat(limit), zero = f32x4.splat(0);
  let panel = keys + <usize>(start >> 3) * stored * stride;
  for (let position = start & ~7; position < end; position += 8) {
    let most0 = zero, most1 = zero;
    let k = panel;
    for (let i: usize = 0; i < last; i += 4) {
      const bias = v128.load32_splat(keyBias + i);
      most0 = f32x4.pmax(most0, f32x4.abs(f32x4.sub(cached<E>(k, 0, mask), bias)));
      most1 = f32x4.pmax(most1, f32x4.abs(f32x4.sub(cached<E>(k, half, mask), bias)));
      k += stride;
    }
    const inverse0 = v128.andnot(f32x4.div(limits, most0), f32x4.eq(most0, zero));
    const inverse1 = v128.andnot(f32x4.div(limits, most1), f32x4.eq(most1, zero));
    let sum0 = i32x4.splat(0), sum1 = i32x4.splat(0), own0 = zero, own1 = zero;
    k = panel;
    for (let i: usize = 0; i < last; i += 4) {
      const bias = v128.load32_splat(keyBias + i), code = v128.load32_splat(scratch + i), queryBias = v128.load32_splat(scratch + bytes + i);
      const k0 = cached<E>(k, 0, mask), k1 = cached<E>(k, half, mask);
      const code0 = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.sub(k0, bias), inverse0)));
      const code1 = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.sub(k1, bias), inverse1)));
      sum0 = i32x4.add(sum0, i32x4.mul(code0, code));
      sum1 = i32x4.add(sum1, i32x4.mul(code1, code));
      own0 = f32x4.add(own0, f32x4.mul(queryBias, k0));
      own1 = f32x4.add(own1, f32x4.mul(queryBias, k1));
      k += stride;
    }
    const steps = f32x4.splat(step), rest = f32x4.splat(constant);
    const scale0 = f32x4.mul(steps, f32x4.div(most0, limits)), scale1 = f32x4.mul(steps, f32x4.div(most1, limits));
    const s0 = f32x4.add(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sum0), scale0), own0), rest);
    const s1 = f32x4.add(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sum1), scale1), own1), rest);
    const to = scores + (<usize>position << 2);
    v128.store(to, hideOutside(s0, position, 0, start, end));
    v128.store(to, hideOutside(s1, position, 16, start, end), 16);
    panel = k + (stored - width) * stride;
  }
}

/**
 * e^(score - max) in [0, 1] to shifted codes: group g with 2^-g < e <= 2^(1 - g),
 * the last one takes the rest.
 */
// @ts-ignore: decorator
@inline function encodeScores(from: usize, to: usize, most: f32, groups: i32): void {
  for (let p = from; p < to; p += 16) {
    const e = v128.load(p);
    const power = i32x4.shr_s(i32x4.sub(e, i32x4.splat(1)), 23);
    const group = i32x4.min_s(i32x4.max_s(i32x4.sub(i32x4.splat(127), power), i32x4.splat(1)), i32x4.splat(groups));
    const up = i32x4.shl(i32x4.add(group, i32x4.splat(126)), 23), shift = i32x4.shl(i32x4.sub(i32x4.splat(127 + groups), group), 23);
    const code = f32x4.nearest(f32x4.mul(e, f32x4.mul(f32x4.splat(most), up)));
    v128.store(p, i32x4.trunc_sat_f32x4_s(f32x4.mul(code, shift)));
  }
}

/** Four channels of the values of [start, end) times their codes, in f32. */
// @ts-ignore: decorator
@inline function weigh<E>(codes: usize, values: usize, rowBytes: usize, start: usize, end: usize, inverse: v128, limit: v128, sum: v128): v128 {
  const mask = halfMask(), least = f32x4.neg(limit);
  for (let block = start; block < end; block += SCORE_BLOCK) {
    let acc = i32x4.splat(0);
    for (let position = block, stop = min(end, block + SCORE_BLOCK); position < stop; position++) {
      const code = f32x4.nearest(f32x4.mul(cached<E>(values + position * rowBytes, 0, mask), inverse));
      const v = i32x4.trunc_sat_f32x4_s(f32x4.pmax(f32x4.pmin(code, limit), least));
      acc = i32x4.add(acc, i32x4.mul(v, v128.load32_splat(codes + (position << 2))));
    }
    sum = f32x4.add(sum, f32x4.convert_i32x4_s(acc));
  }
  return sum;
}

/** Heads [first, last) of one query row; arguments as in attention.as.ts, and the tables. */
// @ts-ignore: decorator
@inline function attend<E>(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, tables: usize, scratch: usize,
): void {
  const width = <usize>headWidth, stored = (width + 7) & ~7;
  const headBytes = stored * <usize>capacity * sizeof<E>(), rowBytes = stored * sizeof<E>();
  const lastSpan = spans + (<usize>count << 3), scores = scratch + 3 * (stored << 2);
  const limit = load<f32>(tables, 20), groups = load<i32>(tables, 24), most: f32 = 2 * limit + 1;
  const limits = f32x4.splat(limit);
  for (let head = <usize>first; head < <usize>last; head++) {
    const kvHead = head / <usize>group;
    const constant = prepareQuery(query + (head * width << 2), head, kvHead, width, stored, scale, tables, scratch);
    const step = load<f32>(table(tables, 2) + (head << 2)), keyBias = table(tables, 3) + (kvHead * width << 2);
    let to = scores;
    for (let span = spans; span < lastSpan; span += 8) {
      const start = load<i32>(span), end = load<i32>(span, 4);
      const at = to - (<usize>(start & ~7) << 2);
      scoreCodes<E>(scratch, keys + kvHead * headBytes, keyBias, width, stored, start, end, step, constant, limit, at);
      to += panelScores(start, end);
    }
    const total = exponentiate(scores, to, 1);
    encodeScores(scores, to, most, groups);
    const factor: f32 = 1 / (total * most * <f32>(1 << (groups - 1)));
    const scales = table(tables, 4) + (kvHead * width << 2), target = out + (head * width << 2);
    for (let i: usize = 0; i < width; i += 4) {
      const valueScale = v128.load(scales + (i << 2));
      const inverse = v128.andnot(f32x4.div(f32x4.splat(1), valueScale), f32x4.eq(valueScale, f32x4.splat(0)));
      let sum = f32x4.splat(0);
      let from = scores;
      for (let span = spans; span < lastSpan; span += 8) {
        const start = load<i32>(span), end = load<i32>(span, 4);
        const v = values + kvHead * headBytes + i * sizeof<E>();
        sum = weigh<E>(from - (<usize>(start & ~7) << 2), v, rowBytes, <usize>start, <usize>end, inverse, limits, sum);
        from += panelScores(start, end);
      }
      v128.store(scratch, f32x4.mul(sum, f32x4.mul(f32x4.splat(factor), valueScale)));
      for (let j: usize = 0; j < min<usize>(4, width - i); j++) store<f32>(target + ((i + j) << 2), load<f32>(scratch + (j << 2)));
    }
  }
}

export function tender_attention_f16(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, tables: usize, scratch: usize,
): void {
  attend<u16>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, tables, scratch);
}

export function tender_attention_f32(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, tables: usize, scratch: usize,
): void {
  attend<f32>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, tables, scratch);
}
