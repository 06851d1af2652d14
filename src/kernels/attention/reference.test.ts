/** Reference attention and cache storage against sums worked out by hand. */
import { describe, expect, test } from "vitest";
import { type CacheArrays, storeKeyValue } from "../store-key-value/reference.ts";
import { attention, type AttentionShape } from "./reference.ts";

const WIDTH = 4; // K = 2 heads of d = 2

function cacheWith(keys: number[][], values: number[][]): CacheArrays {
  const cache = {
    keys: new Float32Array(2 * 8 * WIDTH),
    values: new Float32Array(2 * 8 * WIDTH),
    contextLength: 8,
    width: WIDTH,
    headWidth: 2,
  };
  const rows = keys.length;
  storeKeyValue(
    cache,
    Float32Array.from(keys.flat()),
    Float32Array.from(values.flat()),
    new Int32Array(rows).fill(1),
    Int32Array.from(keys, (_, position) => position),
    "f32",
  );
  return cache;
}

const SHAPE: AttentionShape = { heads: 4, kvHeads: 2, headWidth: 2, scale: 0.5, window: undefined };
const KEYS = [
  [1, 0, 0, 1],
  [0, 1, 1, 0],
  [2, 2, -1, 1],
];
const VALUES = [
  [1, 2, 3, 4],
  [5, 6, 7, 8],
  [9, 10, 11, 12],
];

function attend(query: number[], position: number, shape = SHAPE): Float32Array {
  const out = new Float32Array(8);
  const row = { t: 0, slotRow: 8, position, visible: undefined };
  attention(out, Float32Array.from(query), cacheWith(KEYS, VALUES), shape, row);
  return out;
}

/** Weighted mean of values with softmax weights of the given scores. */
function mean(scores: number[], values: number[]): number {
  const weights = scores.map(Math.exp);
  const total = weights.reduce((a, b) => a + b);
  return weights.reduce((sum, weight, i) => sum + weight * values[i], 0) / total;
}

describe("attention", () => {
  test("heads 0, 1 use key head 0 and heads 2, 3 key head 1", () => {
    const out = attend([1, 0, 0, 1, 1, 0, 0, 1], 2);
    const expected = [
      [[0.5, 0, 1], 0],
      [[0, 0.5, 1], 0],
      [[0, 0.5, -0.5], 2],
      [[0.5, 0, 0.5], 2],
    ] as const;
    expected.forEach(([scores, column], head) => {
      for (const i of [0, 1]) {
        const values = VALUES.map((row) => row[column + i]);
        expect(out[2 * head + i]).toBeCloseTo(mean([...scores], values), 6);
      }
    });
  });

  test("sees nothing after its own position", () => {
    expect([...attend([1, 0, 0, 1, 1, 0, 0, 1], 0)]).toEqual([1, 2, 1, 2, 3, 4, 3, 4]);
  });

  test("a window counts the token itself", () => {
    const one = attend([1, 0, 0, 1, 1, 0, 0, 1], 2, { ...SHAPE, window: 1 });
    expect([...one]).toEqual([9, 10, 9, 10, 11, 12, 11, 12]);
    const two = attend([1, 0, 0, 1, 1, 0, 0, 1], 2, { ...SHAPE, window: 2 });
    expect(two[0]).toBeCloseTo(mean([0, 1], [5, 9]), 6);
    expect([...attend([1, 0, 0, 1, 1, 0, 0, 1], 2, { ...SHAPE, window: 3 })]).toEqual([
      ...attend([1, 0, 0, 1, 1, 0, 0, 1], 2),
    ]);
  });

  test("survives scores beyond the range of exp", () => {
    const out = attend([4000, 0, 0, 0, 0, 0, 0, 0], 2);
    expect([out[0], out[1]]).toEqual([9, 10]);
  });
});

test.each([
  // 1 + 2^-11 lies between two f16 and goes to the even one.
  ["f16", [1 + 2 ** -11, -70000], [1, -65504]],
  ["f32", [1 + 2 ** -11, -70000], [1 + 2 ** -11, -70000]],
  // The scale is 1: ties go to even codes.
  ["q8", [2.5, -127], [2, -127]],
] as const)(
  "storeKeyValue writes to slot and position, as %s keeps it, and nowhere else",
  (format, row, kept) => {
    const cache = {
      keys: new Float32Array(2 * 3 * 2),
      values: new Float32Array(2 * 3 * 2),
      contextLength: 3,
      width: 2,
      headWidth: 2,
    };
    const key = Float32Array.from(row);
    storeKeyValue(cache, key, key.toReversed(), Int32Array.of(1), Int32Array.of(2), format);
    expect([...cache.keys]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...kept]);
    expect([...cache.values]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...kept.toReversed()]);
  },
);
