/**
 * The worked examples of the method: the paper's figure of bias and grouping, an exact dyadic pipeline, the
 * equality of the accumulation forms, of which the engine's is the kernels' oracle, rounding, and the overflow
 * bound at its edge.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type QuantizedRows, quantizeStatic, tenderLinear } from "../../kernels/tender-linear/reference.ts";
import { roundHalfEven } from "../../quantization/half-even.ts";
import { activationCodes, biasTerm, codeLimit, maxGroups, rowCodes } from "./codes.ts";
import {
  type ChannelGroups,
  type ChannelRange,
  channelBias,
  channelExponents,
  channelMagnitudes,
  channelOrder,
  groupChannels,
  mergeGroups,
} from "./grouping.ts";
import { accumulatorBound, magnitudeByGroup, safeGroups, safeLimit } from "./overflow.ts";

function rangesOf(x: readonly number[], columns: number): ChannelRange {
  const minima = new Float64Array(columns).fill(Number.POSITIVE_INFINITY);
  const maxima = new Float64Array(columns).fill(Number.NEGATIVE_INFINITY);
  x.forEach((value, i) => {
    minima[i % columns] = Math.min(minima[i % columns], value);
    maxima[i % columns] = Math.max(maxima[i % columns], value);
  });
  return { minima, maxima };
}

function expectNear(got: ArrayLike<number>, expected: readonly number[], tolerance = 1e-9): void {
  expect(got.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(Math.abs(got[i] - value)).toBeLessThan(tolerance);
}

/** The paper's form: groups in order, one left shift between them, all in 32 bits. Returns A_1..A_G. */
function accumulateShifting(
  codes: Int32Array,
  weights: ArrayLike<number>,
  channels: ChannelGroups,
): number[] {
  const order = channelOrder(channels);
  const steps: number[] = [];
  let accumulator = 0;
  let next = 0;
  for (let g = 1; g <= channels.groups; g++) {
    if (g > 1) accumulator <<= 1;
    for (; next < order.length && channels.group[order[next]] === g; next++) {
      accumulator = (accumulator + Math.imul(codes[order[next]], weights[order[next]])) | 0;
    }
    steps.push(accumulator);
  }
  return steps;
}

/** Sums of each group in 32 bits, weighted in f64: what the engine does with columns in group order. */
function accumulatePerGroup(
  codes: Int32Array,
  weights: ArrayLike<number>,
  { groups, group }: ChannelGroups,
): number {
  const sums = new Int32Array(groups);
  for (let j = 0; j < codes.length; j++) sums[group[j] - 1] += codes[j] * weights[j];
  return sums.reduce((total, sum, g) => total + sum * 2 ** (groups - 1 - g), 0);
}

/** The engine's form: codes that carry their exponent, [rows, K]. */
function shiftedRows(
  x: ArrayLike<number>,
  channels: ChannelGroups,
  bias: Float64Array | undefined,
  limit: number,
): QuantizedRows {
  const columns = channels.group.length;
  const rows = x.length / columns;
  return quantizeStatic(Float32Array.from(x), rows, columns, new Int32Array(rows), {
    limit,
    chunks: 1,
    chunkRows: 1,
    bias: bias && Float32Array.from(bias),
    exponents: Float32Array.from(channelExponents(channels)),
    scales: Float32Array.of(channels.scale),
  });
}

/** Its products with weights by output, [rows, N]. */
function products(
  rows: QuantizedRows,
  weights: readonly (readonly number[])[],
  scales: readonly number[],
  offsets?: readonly number[],
): number[] {
  const outputs = weights.length;
  const out = new Float32Array(rows.scales.length * outputs);
  const matrix = Float32Array.from(weights.flat());
  const offset = offsets && Float32Array.from(offsets);
  const range = { first: 0, end: outputs };
  tenderLinear(out, rows, matrix, Float32Array.from(scales), offset, weights[0].length, outputs, range);
  return [...out];
}

const X = [29, 12, -11.5, 7, 1, 0.25, -27, -16, 6.5, -2.25, 7, -0.75, 10, 3, 12.5, -7, 5.25, 0];
/** Codes by output: [2][6]. */
const W = [
  [3, -5, 7, 0, -2, 6],
  [-7, 2, 1, 6, -4, 5],
];
const W_SCALES = [0.25, 0.5];

function pipeline() {
  const range = rangesOf(X, 6);
  const bias = channelBias(range);
  const channels = groupChannels(channelMagnitudes(range, bias), 3, 7);
  const codes = activationCodes(Float64Array.from(X), channels, bias, 7);
  const rows = [0, 1, 2].map((t) => codes.subarray(6 * t, 6 * t + 6));
  const floatRow = (n: number) => Float32Array.from(W[n], (w) => w * W_SCALES[n]);
  const offsets = [0, 1].map((n) => biasTerm(floatRow(n), bias));
  return { bias, channels, codes, rows, offsets, floatRow };
}

describe("bias and grouping, the paper's figure", () => {
  const x = [1.2, 45.2, -4.1, 7.1, 1.5, 15.5, 5.2, 0.4, 2.1, -7.3, 3.9, 10, 2.3, 18.9, -1.8, 4.4, 2.6, 24.2];
  const range = rangesOf(x, 6);
  const bias = channelBias(range);
  const magnitudes = channelMagnitudes(range, bias);

  test("bias and ranges", () => {
    expectNear(bias, [3.2, 22.8, -1, -0.1, 2.7, 17.1]);
    expectNear(magnitudes, [2, 22.4, 3.1, 7.2, 1.2, 7.1]);
  });

  test("three groups and four", () => {
    const three = groupChannels(magnitudes, 3, 7);
    expect([...three.group]).toEqual([3, 1, 3, 2, 3, 2]);
    expect(channelOrder(three)).toEqual([1, 3, 5, 0, 2, 4]);
    expectNear([three.largest, three.scale * 4, three.scale * 2, three.scale], [22.4, 3.2, 1.6, 0.8]);
    const four = groupChannels(magnitudes, 4, 7);
    expect([...four.group]).toEqual([4, 1, 3, 2, 4, 2]);
    expect(channelOrder(four)).toEqual([1, 3, 5, 2, 0, 4]);
    expectNear([four.scale], [0.4]);
  });

  test("merging the lowest groups equals grouping with fewer", () => {
    expect(mergeGroups(groupChannels(magnitudes, 4, 7), 3)).toEqual(groupChannels(magnitudes, 3, 7));
  });
});

describe("exact pipeline", () => {
  test("bias, groups, scales and codes", () => {
    const { bias, channels, codes } = pipeline();
    expect([...bias]).toEqual([1, -2, 0.5, 0, 4, -0.25]);
    expect([...channels.group]).toEqual([1, 2, 2, 3, 3, 3]);
    expect(channels.scale).toBe(1);
    expect([...codes]).toEqual([7, 7, -6, 7, -3, 0, -7, -7, 3, -2, 3, 0, 2, 2, 6, -7, 1, 0]);
  });

  test("accumulators after every group", () => {
    const { rows, channels } = pipeline();
    const steps = rows.map((row) => W.map((w) => accumulateShifting(row, w, channels)));
    expect(steps[0]).toEqual([
      [21, -35, -64],
      [-49, -90, -126],
    ]);
    expect(steps[1]).toEqual([
      [-21, 14, 22],
      [49, 87, 150],
    ]);
    expect(steps[2]).toEqual([
      [6, 44, 86],
      [-14, -18, -82],
    ]);
  });

  test("outputs and bounds", () => {
    const { rows, channels, offsets } = pipeline();
    expect(offsets).toEqual([1.75, -13.875]);
    const y = rows.flatMap((row) =>
      W.map((w, n) => (accumulateShifting(row, w, channels).at(-1) ?? 0) * W_SCALES[n] + offsets[n]),
    );
    expect(y).toEqual([-14.25, -76.875, 7.25, 61.125, 23.25, -54.875]);
    const exponents = channels.group.map((g) => 3 - g);
    expect(W.map((w) => accumulatorBound(w, exponents, 7))).toEqual([308, 343]);
  });

  test("the engine's codes give the same accumulators and outputs", () => {
    const { channels, bias, offsets } = pipeline();
    const rows = shiftedRows(X, channels, bias, 7);
    expect([...rows.codes]).toEqual([28, 14, -12, 7, -3, 0, -28, -14, 6, -2, 3, 0, 8, 4, 12, -7, 1, 0]);
    expect(products(rows, W, [1, 1])).toEqual([-64, -126, 22, 150, 86, -82]);
    expect(products(rows, W, W_SCALES, offsets)).toEqual([-14.25, -76.875, 7.25, 61.125, 23.25, -54.875]);
  });

  test("rounding down", () => {
    const range = rangesOf(X, 6);
    const bias = channelBias(range);
    const channels = groupChannels(channelMagnitudes(range, bias), 3, 7, "down");
    expect([...channels.group]).toEqual([2, 3, 3, 3, 3, 3]);
    expect([...activationCodes(Float64Array.from(X), channels, bias, 7, -8)]).toEqual([
      7, 7, -8, 7, -3, 0, -8, -8, 6, -2, 3, 0, 4, 5, 7, -7, 1, 0,
    ]);
  });
});

test("three accumulation forms agree with 64-bit integers on random layers", () => {
  const layer = fc
    .integer({ min: 1, max: 9 })
    .chain((groups) =>
      fc.tuple(
        fc.constant(groups),
        fc.array(
          fc.tuple(
            fc.integer({ min: 1, max: groups }),
            fc.integer({ min: -127, max: 127 }),
            fc.integer({ min: -127, max: 127 }),
          ),
          { minLength: 1, maxLength: 300 },
        ),
      ),
    );
  fc.assert(
    fc.property(layer, ([groups, entries]) => {
      const channels = { groups, group: Int32Array.from(entries, ([g]) => g), scale: 1, largest: 1 };
      const codes = Int32Array.from(entries, ([, code]) => code);
      const weights = entries.map(([, , weight]) => weight);
      const exact = entries.reduce(
        (sum, [g, code, weight]) => sum + ((BigInt(code) * BigInt(weight)) << BigInt(groups - g)),
        0n,
      );
      const exponents = channels.group.map((g) => groups - g);
      fc.pre(accumulatorBound(weights, exponents, 127) < 2 ** 31);
      expect(BigInt(accumulateShifting(codes, weights, channels).at(-1) ?? 0)).toBe(exact);
      expect(BigInt(accumulatePerGroup(codes, weights, channels))).toBe(exact);
      const x = codes.map((code, j) => code * 2 ** exponents[j]);
      const rows = shiftedRows(x, channels, undefined, 127);
      expect(rows.codes).toEqual(x);
      expect(products(rows, [weights], [1])).toEqual([Math.fround(Number(exact))]);
    }),
    { numRuns: 200, seed: 7 },
  );
});

describe("integers", () => {
  test("halves round to even", () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, -2.5].map((value) => roundHalfEven(value) + 0)).toEqual([
      0, 2, 2, 0, -2, -2,
    ]);
  });

  test("16 bits hold nine groups of 8-bit codes and thirteen of 4-bit ones", () => {
    expect([maxGroups(8), maxGroups(4)]).toEqual([9, 13]);
    expect([codeLimit(8) << 8, codeLimit(4) << 12]).toEqual([32512, 28672]);
    expect(codeLimit(8) << 9).toBeGreaterThan(32767);
    expect(codeLimit(4) << 13).toBeGreaterThan(32767);
  });

  test("the overflow bound at its edge", () => {
    const full = (columns: number) => new Int8Array(columns).fill(127);
    const bound = (columns: number) => accumulatorBound(full(columns), new Int32Array(columns).fill(7), 127);
    expect(bound(1040)).toBe(2_147_092_480);
    const groups = (columns: number) =>
      safeGroups(magnitudeByGroup(full(columns), new Int32Array(columns).fill(1), 8), 127);
    expect(groups(1040)).toBe(8);
    expect(bound(1041)).toBeGreaterThan(2 ** 31 - 1);
    expect(groups(1041)).toBe(7);
    expect(safeLimit(full(1000))).toBe(Math.floor((2 ** 31 - 1) / 127000));
  });

  test("one group without bias is plain per-tensor quantization", () => {
    const x = Float64Array.of(0.3, -1.7, 2.9, 0.01, -2.54, 1.25);
    const magnitudes = x.map(Math.abs);
    const channels = groupChannels(magnitudes, 1, 127);
    const plain = [...x].map((value) => roundHalfEven(value / (2.9 / 127)));
    expect([...activationCodes(x, channels, undefined, 127)]).toEqual(plain);
  });

  test("weights: one scale per output row, zero rows stay zero", () => {
    expect(rowCodes(Float32Array.of(0, 0), 127)).toEqual({ codes: Int8Array.of(0, 0), scale: 0 });
    const { codes, scale } = rowCodes(Float32Array.of(0.5, -2, 1.27, 0.0157), 127);
    expect(scale).toBe(Math.fround(2 / 127));
    expect([...codes]).toEqual([32, -127, 81, 1]);
  });
});

test("many groups approach the per-column error", () => {
  const columns = 6;
  const rows = 64;
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return state / 2 ** 31;
  };
  const x = Float64Array.from({ length: rows * columns }, (_, i) => next() * 2 ** -(i % columns));
  const magnitudes = channelMagnitudes(rangesOf([...x], columns));
  const error = (groups: number) => {
    const channels = groupChannels(magnitudes, groups, 7);
    const codes = activationCodes(x, channels, undefined, 7);
    return codes.reduce((sum, code, i) => {
      const value = code * channels.scale * 2 ** (groups - channels.group[i % columns]);
      return sum + (value - x[i]) ** 2;
    }, 0);
  };
  const perColumn = x.reduce((sum, value, i) => {
    const scale = magnitudes[i % columns] / 7;
    return sum + (roundHalfEven(value / scale) * scale - value) ** 2;
  }, 0);
  expect(error(8)).toBeLessThan(error(3));
  expect(error(3)).toBeLessThan(error(1));
  // A channel's scale exceeds its own range by at most a factor of two, its squared error by about four.
  expect(error(8)).toBeLessThan(4.5 * perColumn);
});
