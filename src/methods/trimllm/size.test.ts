/** The size table of LLaMA-7B, to the integer. */
import { expect, test } from "vitest";
import {
  attentionParameters,
  mlpParameters,
  speedBound,
  type TrimmedShape,
  trimmedKeyValueBytes,
  trimmedParameters,
  trimmedReads,
} from "./size.ts";

const LLAMA_7B: TrimmedShape = {
  width: 4096,
  feedForwardWidth: 11008,
  sharedWidth: 4096,
  vocabularySize: 32000,
  tiedHead: false,
};
const WHOLE = { attentions: 32, mlps: 32 };

test.each([
  [32, 32, 6738149376, 1, 13.214, 1, 524288],
  [20, 20, 4309647360, 0.6396, 8.357, 1.581, 327680],
  [8, 32, 5127536640, 0.761, 9.993, 1.322, 131072],
  [16, 16, 3500146688, 0.5195, 6.738, 1.961, 262144],
  [0, 32, 4590665728, 0.6813, 8.919, 1.481, 0],
  [32, 0, 2409627648, 0.3576, 4.557, 2.9, 524288],
  [12, 12, 2690646016, 0.3993, 5.119, 2.581, 196608],
  [24, 0, 1872756736, 0.2779, 3.483, 3.793, 393216],
  [0, 24, 3508535296, 0.5207, 6.755, 1.956, 0],
])(
  "LLaMA-7B with %i attentions and %i MLPs",
  (attentions, mlps, parameters, share, readGb, bound, keyValue) => {
    const left = { attentions, mlps };
    expect(trimmedParameters(LLAMA_7B, left)).toBe(parameters);
    expect(Math.abs(parameters / trimmedParameters(LLAMA_7B, WHOLE) - share)).toBeLessThan(1e-4);
    expect((2 * trimmedReads(LLAMA_7B, left)) / 1e9).toBeCloseTo(readGb, 3);
    expect(Math.abs(speedBound(LLAMA_7B, WHOLE, left) - bound)).toBeLessThan(1e-3);
    expect(trimmedKeyValueBytes(LLAMA_7B, left, 2)).toBe(keyValue);
  },
);

test("its parts: one attention, one MLP, the tables, one attention's keys and values", () => {
  expect(attentionParameters(LLAMA_7B)).toBe(67108864);
  expect(mlpParameters(LLAMA_7B)).toBe(135266304);
  expect(trimmedParameters(LLAMA_7B, { attentions: 0, mlps: 0 })).toBe(262144000);
  expect(trimmedKeyValueBytes(LLAMA_7B, { attentions: 1, mlps: 0 }, 2)).toBe(16384);
});
