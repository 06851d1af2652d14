/** The L1 penalty on x1 = relu(gate) * up and its gradients: the tiny feed-forward of the specification, finite differences. */
import { describe, expect, it } from "vitest";
import { gluGradient } from "../../kernels/glu/gradient-reference.ts";
import { glu } from "../../kernels/glu/reference.ts";
import { l1Gradient } from "../../kernels/loss/reference.ts";

const RELU = { kind: "relu" } as const;

function penalize(gate: readonly number[], up: readonly number[]) {
  const [g, u] = [Float64Array.from(gate), Float64Array.from(up)];
  const [x1, dx1, dGate, dUp] = Array.from({ length: 4 }, () => new Float64Array(g.length));
  const sums = new Float64Array(1);
  glu(x1, g, u, g.length, RELU);
  l1Gradient(dx1, sums, x1, 1, g.length, 1);
  gluGradient(dGate, dUp, dx1, g, u, g.length, RELU);
  const plain = (values: Float64Array) => [...values].map((value) => value + 0);
  return { sum: sums[0], dGate: plain(dGate), dUp: plain(dUp) };
}

describe.each([
  {
    gate: [1, 1.5, 5, -5, -4.5, -1.5],
    up: [6, -3.5, 5, -1.5, -7, 4.5],
    sum: 36.25,
    mean: 6.041667,
    dGate: [6, 3.5, 5, 0, 0, 0],
    dUp: [1, -1.5, 5, 0, 0, 0],
  },
  {
    gate: [-2, 1, -5, 3, 6, 2],
    up: [-3, 4, -4, 2, 5, 0],
    sum: 40,
    mean: 6.666667,
    dGate: [0, 4, 0, 2, 5, 0],
    dUp: [0, 1, 0, 3, 6, 0],
  },
])("penalty of $gate", ({ gate, up, sum, mean, dGate, dUp }) => {
  it("has the specification's value and gradients", () => {
    const result = penalize(gate, up);
    expect(result.sum).toBeCloseTo(sum, 12);
    expect(result.sum / gate.length).toBeCloseTo(mean, 6);
    expect(result.dGate).toEqual(dGate);
    expect(result.dUp).toEqual(dUp);
  });

  it("agrees with finite differences away from kinks", () => {
    const step = 1e-6;
    const moved = (values: readonly number[], i: number, by: number) =>
      values.map((value, j) => (i === j ? value + by : value));
    for (let i = 0; i < gate.length; i++) {
      const slopeOfGate = penalize(moved(gate, i, step), up).sum - penalize(moved(gate, i, -step), up).sum;
      expect(slopeOfGate / (2 * step)).toBeCloseTo(dGate[i], 6);
      if (up[i] === 0) continue;
      const slopeOfUp = penalize(gate, moved(up, i, step)).sum - penalize(gate, moved(up, i, -step)).sum;
      expect(slopeOfUp / (2 * step)).toBeCloseTo(dUp[i], 6);
    }
  });
});
