// Attention of one token over ascending intervals of cached positions, as a rule the one interval [0, position]: scores
// into scratch, softmax, weighted sum of values. Nothing outside the intervals is read but the rest of their panels. Query heads
// that share a key/value head are handled together, one or two runs of 4 (scores.as.ts); every sum runs over positions in
// order, so results depend neither on the number of threads nor on how tokens are batched. While one span is computed, the start
// of the next is brought near (claim.as.ts). E is what the cache holds: floats, or codes of a byte (score-codes.as.ts,
// weigh-codes.as.ts). Cache layout: store-key-value/layout.as.ts.
// Scratch per thread, for two runs each: query [stored][RUN], sums [RUN][stored], scores [RUN][capacity + 8 + 16 per
// interval], 32 bits each. Scores of an interval lie where its first panel begins, panel after panel; intervals follow each other.
import { HALF_SCALE } from "../lanes.as";
import { rowBytesOf } from "../store-key-value/layout.as";
import { claimRest, planClaim, readyOf, startOf, touch, touchEchoes, touchPages, touchScales } from "./claim.as";
import { placeQueryCodes, scoreOneCodes, scoreRunCodes } from "./score-codes.as";
import { scoreOne, scoreRun } from "./scores.as";
import { exponentiate, panelScores } from "./softmax.as";
import { encodeWeights, weighOneCodes, weighRunCodes } from "./weigh-codes.as";
import { weighOne, weighRun } from "./weighted-values.as";

/** Query heads of a run. */
const RUN: usize = 4;
/** Positions that two runs pass over in turn, so that the second finds them near. */
const PIECE: i32 = 512;

// @ts-ignore: decorator
@inline function isCodes<E>(): bool { return sizeof<E>() == 1; }
// @ts-ignore: decorator
@inline function rescale<E>(): f32 {
  return isFloat<E>() || isCodes<E>() ? <f32>1 : HALF_SCALE;
}

/** `run` query heads as [stored][run], scaled; zeros beyond the width. */
// @ts-ignore: decorator
@inline function placeQueries<E>(rows: usize, to: usize, run: usize, width: usize, stored: usize, scale: f32): void {
  for (let i: usize = 0; i < stored; i++) {
    for (let h: usize = 0; h < run; h++) {
      const value: f32 = i < width ? load<f32>(rows + ((h * width + i) << 2)) * scale : 0;
      store<f32>(to + ((i * run + h) << 2), value * rescale<E>());
    }
  }
}

/** Scores of `runs` runs over a span; meanwhile the start of another is claimed: that of `base` at the bounds `following`. */
// @ts-ignore: decorator
@inline function scoreSpan<E>(
  queries: usize, keys: usize, stored: usize, span: usize, scores: usize, stride: usize, runs: usize, base: usize, following: usize,
  echo: usize,
): void {
  const end = load<i32>(span, 4), rowBytes = rowBytesOf<E>(stored);
  for (let from = load<i32>(span); from < end; ) {
    const stop = min(end, (from & ~7) + PIECE);
    if (stop == end) planClaim(base, following, rowBytes, echo);
    for (let r: usize = 0; r < runs; r++) {
      const query = queries + ((r * stored * RUN) << 2), to = scores + r * RUN * stride;
      if (isCodes<E>()) scoreRunCodes(query, keys, stored, from, stop, to, stride, (rowBytes << 3) / runs);
      else scoreRun<E>(query, keys, stored, from, stop, to, stride, (rowBytes << 3) / runs);
    }
    claimRest();
    from = stop;
  }
}

/** Adds a span's weighted values to the sums of `runs` runs; claims as scoreSpan does, nothing where following is 0. */
// @ts-ignore: decorator
@inline function weighSpan<E>(
  scores: usize, stride: usize, values: usize, stored: usize, span: usize, sums: usize, runs: usize, base: usize, following: usize,
  echo: usize,
): void {
  const end = load<i32>(span, 4), rowBytes = rowBytesOf<E>(stored);
  for (let from = load<i32>(span); from < end; ) {
    const stop = min(end, (from & ~7) + PIECE);
    if (stop == end && following != 0) planClaim(base, following, rowBytes, echo);
    let ready = readyOf(values, span, rowBytes);
    for (let r: usize = 0; r < runs; r++) {
      const to = sums + ((r * stored * RUN) << 2);
      if (isCodes<E>()) weighRunCodes(scores + r * RUN * stride, stride, values, stored, from, stop, to, runs);
      else weighRun<E>(scores + r * RUN * stride, stride, values, stored, from, stop, to, ready, runs);
      ready = usize.MAX_VALUE;
    }
    claimRest();
    from = stop;
  }
}

/**
 * Heads [first, last) of one query row [H * d] into out [H * d]. keys and values point at the slot's first
 * key/value head; group = H / K query heads share one of them. `spans` holds the bounds (i32) of the `count` intervals.
 */
// @ts-ignore: decorator
@inline function attend<E>(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize, echo: usize,
): void {
  const width = <usize>headWidth, stored = (width + 7) & ~7, rowBytes = rowBytesOf<E>(stored);
  const headBytes = rowBytes * <usize>capacity, lastSpan = spans + (<usize>count << 3);
  const stride = (<usize>capacity + 8 + 16 * <usize>count) << 2;
  const runBytes = (stored * RUN) << 2, sums = scratch + 2 * runBytes, scores = sums + 2 * runBytes;
  let near = false;
  for (let head = first; head < last; ) {
    const kvHead = head / group;
    const sharing = <usize>(min(last, (kvHead + 1) * group) - head);
    const run: usize = sharing >= RUN ? RUN : 1, runs: usize = sharing >= 2 * RUN ? 2 : 1;
    const k = keys + <usize>kvHead * headBytes, v = values + <usize>kvHead * headBytes;
    const after = head + <i32>(run * runs), afterKeys = keys + <usize>(after / group) * headBytes;
    for (let r: usize = 0; r < runs; r++) {
      const rows = query + (((<usize>head + r * run) * width) << 2), to = scratch + r * runBytes;
      if (isCodes<E>()) placeQueryCodes(rows, to, run, width, stored, scale);
      else placeQueries<E>(rows, to, run, width, stored, scale);
    }
    touchPages(k, v, spans, count, rowBytes);
    if (run == RUN) {
      touchEchoes(k, v, spans, count, rowBytes, echo);
      // Behind another run of heads they are claimed already.
      if (!near) touch(startOf(k, spans, rowBytes), readyOf(k, spans, rowBytes) - startOf(k, spans, rowBytes));
    }
    let to = scores;
    for (let span = spans; span < lastSpan; span += 8) {
      const start = load<i32>(span), end = load<i32>(span, 4), more = span + 8 < lastSpan;
      const at = to - (<usize>(start & ~7) << 2);
      if (run == RUN) scoreSpan<E>(scratch, k, stored, span, at, stride, runs, more ? k : v, more ? span + 8 : spans, echo);
      else if (isCodes<E>()) scoreOneCodes(scratch, k, stored, start, end, at);
      else scoreOne<E>(scratch, k, stored, start, end, at);
      to += panelScores(start, end);
    }
    const used = to - scores;
    if (isCodes<E>()) touchScales(v, spans, count, rowBytes);
    for (let h: usize = 0; h < run * runs; h++) {
      const row = scores + h * stride, end = row + used;
      const unit: f32 = isCodes<E>() ? encodeWeights(row, end, v, stored, spans, lastSpan) : <f32>1 / exponentiate(row, end, rescale<E>());
      store<f32>(scratch + (h << 2), unit);
    }
    memory.fill(sums, 0, runs * runBytes);
    to = scores;
    for (let span = spans; span < lastSpan; span += 8) {
      const start = load<i32>(span), end = load<i32>(span, 4), more = span + 8 < lastSpan;
      const at = to - (<usize>(start & ~7) << (isCodes<E>() ? 1 : 2)), following = more ? span + 8 : after < last ? spans : 0;
      if (run == RUN) weighSpan<E>(at, stride, v, stored, span, sums, runs, more ? v : afterKeys, following, echo);
      else if (isCodes<E>()) weighOneCodes(at, v, stored, start, end, sums);
      else weighOne<E>(at, v, stored, start, end, sums);
      to += isCodes<E>() ? panelScores(start, end) >> 1 : panelScores(start, end);
    }
    for (let h: usize = 0; h < run * runs; h++) {
      const inverse = load<f32>(scratch + (h << 2));
      const to = out + (((<usize>head + h) * width) << 2), from = sums + ((h * stored) << 2);
      for (let i: usize = 0; i < width << 2; i += 4) {
        store<f32>(to + i, (isCodes<E>() ? <f32>load<i32>(from + i) : load<f32>(from + i)) * inverse);
      }
    }
    near = run == RUN;
    head = after;
  }
}

export function attention_f16(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize, echo: usize,
): void {
  attend<u16>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, scratch, echo);
}

export function attention_f32(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize, echo: usize,
): void {
  attend<f32>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, scratch, echo);
}

export function attention_q8(
  query: usize, out: usize, keys: usize, values: usize, first: i32, last: i32, group: i32, headWidth: i32,
  capacity: i32, spans: usize, count: i32, scale: f32, scratch: usize, echo: usize,
): void {
  attend<i8>(query, out, keys, values, first, last, group, headWidth, capacity, spans, count, scale, scratch, echo);
}
