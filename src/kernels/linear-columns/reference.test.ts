/**
 * The gated unit with chosen columns on numbers worked out by hand (d = 4, f = 6; derived in the method's README): plain
 * selection, selection that prefers cached columns, GLU selection alone, ties, and all columns against the dense product.
 */
import { describe, expect, test } from "vitest";
import { glu } from "../glu/reference.ts";
import { linear } from "../linear/reference.ts";
import { type CachedPreference, selectAbove, selectTop } from "../select-columns/reference.ts";
import { linearColumns } from "./reference.ts";

const [D, F] = [4, 6];
const UP = Float64Array.of(1, 0, 2, -1, 0, 1, 1, 1, 2, -1, 0, 0, 1, 1, 1, 1, -1, 2, 0, 1, 0, 0, 3, -1);
const GATE = Float64Array.of(1, 1, 0, 0, 0, -1, 1, 0, 1, 0, 0, -1, 0, 2, 0, 1, -1, 0, 1, 1, 1, 1, 1, 1);
const DOWN = Float64Array.of(1, 0, -1, 2, 0, 1, 0, 1, 1, 0, -1, 0, 2, -1, 0, 1, 1, 0, 0, 0, 1, -1, 0, 2);
const X = Float64Array.of(2, -1, 0.5, -3);
const DENSE = [-21.577307, 20.194324, 13.461254, 22.319738];

const every = (width: number) => Int32Array.from({ length: width }, (_, i) => i);

function product(x: Float64Array, columns: Int32Array, weight: Float64Array, rows: number): Float64Array {
  const out = new Float64Array(rows);
  linearColumns(out, x, columns, weight, undefined, x.length, rows);
  return out;
}

function gatedUnit(x: Float64Array, columns: Int32Array): Float64Array {
  const h = new Float64Array(F);
  glu(h, product(x, columns, GATE, F), product(x, columns, UP, F), F, { kind: "silu" });
  return h;
}

const resident = (gamma: number, mask: string): CachedPreference => ({
  gamma,
  isResident: (column) => mask[column] === "1",
});

function expectClose(got: Float64Array, wanted: readonly number[]): void {
  wanted.forEach((value, i) => {
    expect(got[i]).toBeCloseTo(value, 5);
  });
}

describe("a gated unit of 4 by 6", () => {
  test("all columns", () => {
    expectClose(product(gatedUnit(X, every(D)), every(F), DOWN, D), DENSE);
  });

  test("two inputs and three units kept", () => {
    const input = selectTop(X, 2);
    expect([...input]).toEqual([0, 3]);
    const h = gatedUnit(X, input);
    expectClose(h, [8.807971, 0, 19.866143, 0.142278, 0.167321, -0.806824]);
    const units = selectTop(h, 3);
    expect([...units]).toEqual([0, 2, 5]);
    expectClose(product(h, units, DOWN, D), [-11.864996, 19.866143, 17.615942, 18.252494]);
  });

  test("cached columns preferred, gamma 0.2", () => {
    const input = selectTop(X, 2, resident(0.2, "0110"));
    expect([...input]).toEqual([1, 3]);
    const h = gatedUnit(X, input);
    expectClose(h, [-0.806824, -2.924234, 2.857722, 0.133857, 0.711388, -0.215835]);
    const units = selectTop(h, 3, resident(0.2, "000011"));
    expect([...units]).toEqual([1, 2, 4]);
    expectClose(product(h, units, DOWN, D), [-2.857722, -0.7779, 3.635622, 2.857722]);
  });

  test("GLU selection alone", () => {
    const x = Float64Array.of(-2, 0, 1, 3);
    const h = gatedUnit(x, every(D));
    const units = selectTop(h, 3);
    expect([...units]).toEqual([1, 3, 4]);
    expectClose(product(h, units, DOWN, D), [11.43089, -27.001587, 32.717032, -5.715445]);
    expectClose(product(h, every(F), DOWN, D), [12.01225, -26.86773, 34.147467, -5.581588]);
  });

  test("gate pruning and up pruning: neurons by |silu(gate)| and by |up|", () => {
    const x = Float64Array.of(-2, 0, 1, 3);
    const [h, gate, up] = [
      gatedUnit(x, every(D)),
      product(x, every(D), GATE, F),
      product(x, every(D), UP, F),
    ];
    const activated = gate.map((value) => value / (1 + Math.exp(-value)));
    // Of other neurons neither gate nor up nor down is wanted: what is left of the sum are the chosen ones' terms.
    const byGate = selectTop(activated, 3);
    expect([...byGate]).toEqual([3, 4, 5]);
    expectClose(product(h, byGate, DOWN, D), [11.43089, -29.925821, 35.641266, -5.715445]);
    const byUp = selectTop(up, 3);
    expect([...byUp]).toEqual([1, 2, 4]);
    expectClose(product(h, byUp, DOWN, D), [-0.133857, -26.86773, 27.001587, 0.133857]);
  });

  test("all columns equal `linear` bit for bit, with a bias", () => {
    const bias = Float64Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6);
    const [chosen, dense] = [new Float64Array(F), new Float64Array(F)];
    linearColumns(chosen, X, every(D), UP, bias, D, F);
    linear(dense, X, UP, bias, 1, D, F, { first: 0, end: F });
    expect(chosen).toEqual(dense);
    linearColumns(chosen, X, new Int32Array(0), UP, bias, D, F);
    expect(chosen).toEqual(bias);
  });
});

describe("selection", () => {
  const scores = Float64Array.of(2, -1, 0.5, 3);

  test.each([
    [1, [[3], [0, 3], [0, 1, 3]]],
    [0.5, [[3], [0, 3], [0, 1, 3]]], // half of 2 ties with the resident 1: the larger score wins
    [0.2, [[1], [1, 3], [1, 2, 3]]],
    [0, [[1], [1, 2], [1, 2, 3]]],
  ])("gamma %d", (gamma, wanted) => {
    expect([1, 2, 3].map((k) => [...selectTop(scores, k, resident(gamma, "0110"))])).toEqual(wanted);
  });

  test("ties go to the lower index, indices ascend", () => {
    const x = Float64Array.of(1, -1, 2, 1, -2, 1);
    expect([0, 1, 2, 3, 4, 6].map((k) => [...selectTop(x, k)])).toEqual([
      [],
      [2],
      [2, 4],
      [0, 2, 4],
      [0, 1, 2, 4],
      [0, 1, 2, 3, 4, 5],
    ]);
    expect([
      ...selectTop(
        Float64Array.from({ length: 12 }, () => 1),
        11,
      ),
    ]).toEqual([...every(11)]);
  });

  test("thresholds include what equals them, as f32", () => {
    expect([...selectAbove(Float32Array.of(0.1, -0.1, 0.0999, 0), 0.1)]).toEqual([0, 1]);
    expect([...selectAbove(Float32Array.of(0, -0, 1e-45), 0)]).toEqual([0, 1, 2]);
  });
});
