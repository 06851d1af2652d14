import { expect, it } from "vitest";
import {
  decodeBfloat16,
  decodeFloat16,
  encodeBfloat16,
  encodeFloat16,
  float16ToFloat32,
  float32ToFloat16,
} from "./float16.ts";

/** The definition in IEEE 754: no bit tricks shared with the code under test. */
function float16ByDefinition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

it("widens every f16 to the value IEEE 754 defines", () => {
  const wrong = [];
  for (let half = 0; half < 65536; half++) {
    if (!Object.is(float16ToFloat32(half), float16ByDefinition(half))) wrong.push(half);
  }
  expect(wrong).toEqual([]);
});

it("narrows every f16 value, every midpoint and both neighbours of every midpoint to nearest even", () => {
  const bits = new Uint32Array(1);
  const value = new Float32Array(bits.buffer);
  const wrong = [];
  for (let half = 0; half < 0x7bff; half++) {
    // Midpoints of neighbouring f16 are exact in f32.
    value[0] = (float16ByDefinition(half) + float16ByDefinition(half + 1)) / 2;
    const even = half + (half & 1);
    const middle = float32ToFloat16(value[0]);
    bits[0]++;
    const above = float32ToFloat16(value[0]);
    bits[0] -= 2;
    const below = float32ToFloat16(value[0]);
    const exact = float32ToFloat16(-float16ByDefinition(half));
    if (middle !== even || above !== half + 1 || below !== half || exact !== (half | 0x8000))
      wrong.push(half);
  }
  expect(wrong).toEqual([]);
});

it("narrows the ends of the range", () => {
  expect(float32ToFloat16(65504)).toBe(0x7bff);
  expect(float32ToFloat16(65519.99609375)).toBe(0x7bff);
  expect(float32ToFloat16(65520)).toBe(0x7c00);
  expect(float32ToFloat16(-1e30)).toBe(0xfc00);
  expect(float32ToFloat16(2 ** -25)).toBe(0);
  expect(float32ToFloat16(-(2 ** -26))).toBe(0x8000);
  expect(float32ToFloat16(1e-45)).toBe(0);
  expect(float32ToFloat16(Number.NEGATIVE_INFINITY)).toBe(0xfc00);
  expect(float32ToFloat16(Number.NaN) & 0x7e00).toBe(0x7e00);
});

it("narrows to bf16 with ties to even and keeps NaN", () => {
  const narrow = (value: number) => {
    const bytes = new Uint8Array(2);
    encodeBfloat16(Float32Array.of(value), bytes);
    return bytes[0] | (bytes[1] << 8);
  };
  const widen = (half: number) => {
    const values = new Float32Array(1);
    decodeBfloat16(Uint8Array.of(half & 255, half >>> 8), values);
    return values[0];
  };
  expect(narrow(1)).toBe(0x3f80);
  expect(narrow(1 + 2 ** -8)).toBe(0x3f80); // tie, even below
  expect(narrow(1 + 3 * 2 ** -8)).toBe(0x3f82); // tie, even above
  expect(narrow(1 + 2 ** -8 + 2 ** -20)).toBe(0x3f81);
  expect(narrow(-3.4e38)).toBe(0xff80); // rounds beyond the largest finite value
  expect(narrow(-0)).toBe(0x8000);
  expect(narrow(1e-40)).toBe(0x0001);
  expect(widen(narrow(Number.NaN))).toBeNaN();
  expect(widen(0xff80)).toBe(Number.NEGATIVE_INFINITY);
});

it("converts arrays at odd byte offsets like single values, NaN payloads included", () => {
  const bytes = new Uint8Array(2 * 65536 + 1).subarray(1);
  for (let half = 0; half < 65536; half++) {
    bytes[2 * half] = half & 255;
    bytes[2 * half + 1] = half >>> 8;
  }
  for (const [decode, encode] of [
    [decodeFloat16, encodeFloat16],
    [decodeBfloat16, encodeBfloat16],
  ] as const) {
    const values = new Float32Array(65536);
    decode(bytes, values);
    const back = new Uint8Array(2 * 65536);
    encode(values, back);
    const changed = [];
    for (let half = 0; half < 65536; half++) {
      const got = back[2 * half] | (back[2 * half + 1] << 8);
      // Signalling NaNs come back quiet, everything else unchanged.
      const quietBit = decode === decodeFloat16 ? 0x200 : 0x40;
      if (got !== half && !(Number.isNaN(values[half]) && got === (half | quietBit))) changed.push(half);
    }
    expect(changed).toEqual([]);
  }
});
