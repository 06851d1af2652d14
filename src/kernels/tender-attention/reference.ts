/**
 * attention with both products made of integers: queries in channel groups, keys with one scale per position,
 * softmax scores as unsigned codes in groups a power of two apart, values with one scale per channel.
 * Source: Tender (arXiv 2406.12930), "all", with the biases' terms q b + b k - b b in floats; the groups of
 * scores are found per row (the paper's dynamic mode), so they need no table over positions.
 * Invariant: every f32 operation up to the softmax is rounded where the kernel rounds, so all codes but those
 * of scores are equal; a score's code may differ by one where the exponential's last bit decides.
 */
import { roundHalfEven } from "../../quantization/half-even.ts";
import { type AttentionRow, type AttentionShape, seenPositions } from "../attention/reference.ts";
import type { CacheArrays } from "../store-key-value/reference.ts";

const fround = Math.fround;

export interface AttentionTables {
  readonly limit: number;
  readonly scoreGroups: number;
  /** [H * d], [H * d], [H] */
  readonly queryBias: Float32Array;
  readonly queryExponents: Float32Array;
  readonly queryScales: Float32Array;
  /** [K * d] */
  readonly keyBias: Float32Array;
  readonly valueScales: Float32Array;
}

/** out [T, H * d], one row. */
export function tenderAttention(
  out: Float32Array,
  query: Float32Array,
  cache: CacheArrays,
  shape: AttentionShape,
  tables: AttentionTables,
  row: AttentionRow,
): void {
  const { heads, kvHeads, headWidth } = shape;
  const seen = seenPositions(row, shape);
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads)); // consecutive query heads share a key/value head
    const at = (position: number) => (row.slotRow + position) * cache.width + kvHead * headWidth;
    const given = query.subarray((row.t * heads + head) * headWidth, (row.t * heads + head + 1) * headWidth);
    const scaled = given.map((value) => value * fround(shape.scale));
    const codes = queryCodes(scaled, head, tables);
    const scores = Float32Array.from(seen, (position) =>
      score(cache.keys.subarray(at(position), at(position) + headWidth), kvHead, codes, tables),
    );
    const { weights, factor } = scoreCodes(scores, tables);
    for (let i = 0; i < headWidth; i++) {
      const scale = tables.valueScales[kvHead * headWidth + i];
      const inverse = scale === 0 ? 0 : fround(1 / scale);
      let sum = 0;
      seen.forEach((position, p) => {
        sum +=
          weights[p] * clamp(roundHalfEven(fround(cache.values[at(position) + i] * inverse)), tables.limit);
      });
      out[(row.t * heads + head) * headWidth + i] = sum * factor * scale;
    }
  }
}

interface QueryCodes {
  readonly codes: Int32Array;
  readonly bias: Float32Array;
  readonly scale: number;
  /** The query less its bias. */
  readonly centred: Float32Array;
}

function queryCodes(scaled: Float32Array, head: number, tables: AttentionTables): QueryCodes {
  const width = scaled.length;
  const part = (table: Float32Array) => table.subarray(head * width, (head + 1) * width);
  const [bias, exponents, scale] = [
    part(tables.queryBias),
    part(tables.queryExponents),
    tables.queryScales[head],
  ];
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  const centred = scaled.map((value, i) => value - bias[i]);
  const codes = Int32Array.from(centred, (value, i) => {
    const code = roundHalfEven(fround(value * fround(inverse * 2 ** -exponents[i])));
    return clamp(code, tables.limit) * 2 ** exponents[i];
  });
  return { codes, bias, scale, centred };
}

/** (Q - bq)(K - bk) in integers, plus bq K + (Q - bq) bk in floats. */
function score(key: Float32Array, kvHead: number, query: QueryCodes, tables: AttentionTables): number {
  const width = key.length;
  const bias = tables.keyBias.subarray(kvHead * width, (kvHead + 1) * width);
  let largest = 0;
  for (let i = 0; i < width; i++) largest = Math.max(largest, Math.abs(fround(key[i] - bias[i])));
  const inverse = largest === 0 ? 0 : fround(tables.limit / largest);
  let sum = 0;
  let own = 0;
  let constant = 0;
  for (let i = 0; i < width; i++) {
    sum += query.codes[i] * roundHalfEven(fround(fround(key[i] - bias[i]) * inverse));
    own = fround(own + fround(query.bias[i] * key[i]));
    constant = fround(constant + fround(query.centred[i] * bias[i]));
  }
  const scale = fround(query.scale * fround(largest / tables.limit));
  return fround(fround(fround(fround(sum) * scale) + own) + constant);
}

/**
 * Shifted codes of e^(score - max) in groups below 1,
 * and what one unit of them stands for after the division.
 */
export function scoreCodes(
  scores: Float32Array,
  { limit, scoreGroups }: Pick<AttentionTables, "limit" | "scoreGroups">,
): { readonly weights: Int32Array; readonly factor: number } {
  const largest = scores.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const most = 2 * limit + 1;
  let total = 0;
  const weights = Int32Array.from(scores, (value) => {
    const e = fround(Math.exp(value - largest));
    total += e;
    // 2^-g < e <= 2^(1-g); the last group takes all that is smaller.
    let group = 1;
    while (group < scoreGroups && e <= 2 ** -group) group++;
    return roundHalfEven(fround(e * (most * 2 ** (group - 1)))) * 2 ** (scoreGroups - group);
  });
  return { weights, factor: 1 / (total * most * 2 ** (scoreGroups - 1)) };
}

function clamp(code: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, code));
}
