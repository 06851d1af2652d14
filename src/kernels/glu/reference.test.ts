/** Reference activations against Python's math module. */
import { expect, test } from "vitest";
import { activate, erf, glu } from "./reference.ts";

test("erf to f64 accuracy", () => {
  const cases = [
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3.5, 0.9999992569016276],
    [5, 0.9999999999984626],
    [-1.3, -0.9340079449406524],
    [40, 1],
  ];
  for (const [x, expected] of cases) {
    expect(Math.abs(erf(x) - expected)).toBeLessThan(1e-15);
  }
});

test("silu, gelu and its tanh form", () => {
  const cases = [
    [-2, -0.2384058440442351, -0.04550026389635842, -0.04540230591222494],
    [-0.5, -0.1887703343990727, -0.15426876936299344, -0.15428599017485606],
    [0.3, 0.1723327550434977, 0.18537342665668577, 0.18537092354275922],
    [1.7, 1.437409049357991, 1.6242387133104768, 1.624105895551156],
  ];
  for (const [x, silu, gelu, geluTanh] of cases) {
    expect(activate(x, { kind: "silu" })).toBeCloseTo(silu, 14);
    expect(activate(x, { kind: "gelu" })).toBeCloseTo(gelu, 14);
    expect(activate(x, { kind: "geluTanh" })).toBeCloseTo(geluTanh, 14);
  }
  expect(activate(-200, { kind: "silu" })).toBeCloseTo(0, 80);
  expect(activate(-1e4, { kind: "silu" })).toBe(-0);
});

test("relu and fatrelu cut exactly", () => {
  expect([-1, 0, 2].map((x) => activate(x, { kind: "relu" }))).toEqual([0, 0, 2]);
  const fatrelu = { kind: "fatrelu", threshold: 0.01 } as const;
  const threshold = Math.fround(0.01);
  expect(activate(threshold, fatrelu)).toBe(threshold);
  expect(activate(threshold - 2 ** -30, fatrelu)).toBe(0);
  expect(activate(-1, fatrelu)).toBe(0);
});

test("glu may write into its gate", () => {
  const gate = Float32Array.of(-1, 2, 3);
  glu(gate, gate, Float32Array.of(5, 6, 7), 2, { kind: "relu" });
  expect([...gate]).toEqual([0, 12, 3]);
});
