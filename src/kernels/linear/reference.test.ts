/** Reference linear, rmsNorm, rope, embed and selectOutputs against numbers worked out by hand. */
import { describe, expect, test } from "vitest";
import { embed } from "../embed/reference.ts";
import { rmsNorm } from "../rms-norm/reference.ts";
import { rope } from "../rope/reference.ts";
import { selectOutputs } from "../select-outputs/reference.ts";
import { linear } from "./reference.ts";

describe("linear", () => {
  const x = Float32Array.of(1, 2, 3, -1, 0, 1); // [2, 3]
  const weight = Float32Array.of(1, 0, 0, 0, 1, 0, 1, 1, 1, 2, 2, -2); // [4, 3]

  test("multiplies rows by rows and adds the bias", () => {
    const out = new Float32Array(8);
    linear(out, x, weight, Float32Array.of(10, 20, 30, 40), 2, 3, 4, { first: 0, end: 4 });
    expect([...out]).toEqual([11, 22, 36, 40, 9, 20, 30, 36]);
  });

  test("a range leaves other outputs alone", () => {
    const out = new Float32Array(8).fill(-7);
    linear(out, x, weight, undefined, 2, 3, 4, { first: 1, end: 3 });
    expect([...out]).toEqual([-7, 2, 6, -7, -7, 0, 0, -7]);
  });

  test("keeps what f32 accumulation would lose", () => {
    const out = new Float32Array(1);
    const wide = Float32Array.of(2 ** 25, 1, -(2 ** 25));
    linear(out, Float32Array.of(1, 1, 1), wide, undefined, 1, 3, 1, { first: 0, end: 1 });
    expect(out[0]).toBe(1);
  });
});

describe("rmsNorm", () => {
  test("divides by the root mean square and multiplies by the weight", () => {
    const out = new Float32Array(4);
    rmsNorm(out, Float32Array.of(3, 4, 0, 0), Float32Array.of(1, 2, 3, 4), 1, 4, 1, 0);
    expect([...out]).toEqual([Math.fround(3 / 2.5), Math.fround(8 / 2.5), 0, 0]);
  });

  test("groups are independent and share the weight; epsilon tames zeros; in place", () => {
    const x = Float32Array.of(3, 4, 0, 0);
    rmsNorm(x, x, Float32Array.of(1, 10), 1, 4, 2, 1e-6);
    const rms = Math.sqrt(12.5 + 1e-6);
    expect([...x]).toEqual([Math.fround(3 / rms), Math.fround(40 / rms), 0, 0]);
  });
});

describe("rope", () => {
  const quarter = Math.PI / 2;
  const positions = Int32Array.of(0, 1);

  function rotated(pairing: "halves" | "interleaved", magnitude = 1): number[] {
    const x = Float32Array.of(1, 2, 3, 4, 5, 1, 2, 3, 4, 5); // two tokens, one head of 5, 4 of which rotate
    const table = { name: "rotary", inverseFrequencies: [quarter, 2 * quarter], magnitude, pairing };
    rope(x, positions, 1, 5, table);
    return [...x].map((value) => Math.round(value * 1e5) / 1e5 + 0);
  }

  test("halves pair i with i + width / 2; elements beyond the width stay", () => {
    expect(rotated("halves")).toEqual([1, 2, 3, 4, 5, -3, -2, 1, -4, 5]);
  });

  test("interleaved pairs are neighbours", () => {
    expect(rotated("interleaved")).toEqual([1, 2, 3, 4, 5, -2, 1, -3, -4, 5]);
  });

  test("the magnitude scales what is rotated", () => {
    expect(rotated("halves", 2)).toEqual([2, 4, 6, 8, 5, -6, -4, 2, -8, 5]);
  });
});

test("embed scales rows, selectOutputs gathers them", () => {
  const out = new Float32Array(4);
  embed(out, Float32Array.of(1, 2, 3, 4, 5, 6), Int32Array.of(2, 0), 2, 3);
  expect([...out]).toEqual([15, 18, 3, 6]);
  const selected = new Float32Array(2);
  selectOutputs(selected, out, Int32Array.of(1), 2);
  expect([...selected]).toEqual([3, 6]);
});
