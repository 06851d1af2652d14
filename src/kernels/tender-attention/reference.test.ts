/** Attention of integers against what it stands for: biases that change no score, and softmax in codes. */
import { describe, expect, it } from "vitest";
import { attention } from "../attention/reference.ts";
import { scoreCodes, tenderAttention } from "./reference.ts";

describe("biases of queries and keys", () => {
  // (Q - bq)(K - bk)^T is [-6, 4, 2] and [6, -4, -2]; Q K^T is [4, 10, 4] and [4, -10, -12].
  const [queries, keys] = [Float32Array.of(1, 2, 3, -2), Float32Array.of(2, 1, 0, 5, -2, 3)];
  const values = Float32Array.of(1, 0, 0, 1, -1, 0.5);
  const cache = { width: 2, headWidth: 2, contextLength: 3, keys, values };
  const shape = { heads: 1, kvHeads: 1, headWidth: 2, scale: 0.25, window: undefined };
  const tables = {
    limit: 127,
    scoreGroups: 8,
    queryBias: Float32Array.of(0.5, 0),
    queryExponents: new Float32Array(2),
    // Queries less their bias, times the scale, are multiples of a quarter.
    queryScales: Float32Array.of(0.25),
    keyBias: Float32Array.of(0, 3),
    valueScales: Float32Array.of(1 / 127, 1 / 127),
  };

  it.each([0, 1])("leave the output of query %i what it is", (t) => {
    const [out, expected] = [new Float32Array(4), new Float32Array(4)];
    const row = { t, slotRow: 0, position: 2, visible: undefined };
    tenderAttention(out, queries, cache, shape, tables, row);
    attention(expected, queries, cache, shape, row);
    for (const i of [2 * t, 2 * t + 1]) expect(Math.abs(out[i] - expected[i])).toBeLessThan(0.005);
  });
});

describe("scores", () => {
  it.each([
    [127, 8],
    [7, 12],
  ])("with limit %i in %i groups are within half a code of the softmax", (limit, scoreGroups) => {
    const scores = Float32Array.from({ length: 60 }, (_, i) => 3 * Math.sin(i * i) - i / 10);
    const { weights, factor } = scoreCodes(scores, { limit, scoreGroups });
    expect(Math.max(...weights)).toBe((2 * limit + 1) * 2 ** (scoreGroups - 1));
    expect(Math.max(...weights)).toBeLessThan(2 ** 15);
    const largest = Math.max(...scores);
    const e = Array.from(scores, (score) => Math.exp(score - largest));
    const total = e.reduce((sum, value) => sum + value, 0);
    for (const [i, weight] of weights.entries()) {
      const group = Math.min(scoreGroups, Math.max(1, 1 - Math.ceil(Math.log2(e[i]))));
      const unit = 2 ** (scoreGroups - group);
      expect(weight % unit).toBe(0);
      expect(Math.abs(weight - e[i] / total / factor)).toBeLessThan(unit * 0.501);
    }
  });
});
