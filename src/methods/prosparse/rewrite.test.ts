import { describe, expect, it } from "vitest";
import { linearColumns } from "../../kernels/linear-columns/reference.ts";
import { linearRows } from "../../kernels/linear-rows/reference.ts";
import { selectGates } from "../../kernels/select-columns/reference.ts";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { countCost } from "../../program/accounting.ts";
import type { Program } from "../../program/program.ts";
import { printProgram } from "../../program/printer.ts";
import { freeRecipe } from "../dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../dynamic-input-pruning/rewrite.ts";
import { rewriteNeurons, sparseLayers } from "./rewrite.ts";
import { withActivation } from "./sparsity.ts";

const GATE = [1, 1, 0, 0, 0, -1, 1, 0, 1, 0, 0, -1, 0, 2, 0, 1, -1, 0, 1, 1, 1, 1, 1, 1];
const UP = [1, 0, 2, -1, 0, 1, 1, 1, 2, -1, 0, 0, 1, 1, 1, 1, -1, 2, 0, 1, 0, 0, 3, -1];
const DOWN = [1, 0, -1, 2, 0, 1, 0, 1, 1, 0, -1, 0, 2, -1, 0, 1, 1, 0, 0, 0, 1, -1, 0, 2];

/** The tiny feed-forward of the specification, by the kernels that exact mode is made of. */
function feedForward(x: readonly number[], threshold: number) {
  const gate = Float64Array.from({ length: 6 }, (_, j) =>
    x.reduce((sum, value, k) => sum + value * GATE[4 * j + k], 0),
  );
  const live = selectGates(gate, threshold);
  const up = new Float64Array(6);
  linearRows(up, Float64Array.from(x), live, Float64Array.from(UP), 4, 6);
  const x1 = up.map((value, j) => (live.includes(j) ? gate[j] * value : 0));
  const y = new Float64Array(4);
  linearColumns(y, x1, live, Float64Array.from(DOWN), undefined, 6, 4);
  return { gate: [...gate], x1: [...x1].map((value) => value + 0), y: [...y], live: [...live] };
}

describe("tiny feed-forward", () => {
  it.each([
    [0, [6, -5.25, 25, 0, 0, 0], [-19, 19.75, 17.25, 25]],
    [1, [6, -5.25, 25, 0, 0, 0], [-19, 19.75, 17.25, 25]],
    [2, [0, 0, 25, 0, 0, 0], [-25, 25, 0, 25]],
  ])("threshold %f keeps what equals it", (threshold, x1, y) => {
    const result = feedForward([2, -1, 0.5, -3], threshold);
    expect(result.gate).toEqual([1, 1.5, 5, -5, -4.5, -1.5]);
    expect(result.x1).toEqual(x1);
    expect(result.y).toEqual(y);
  });

  it("a live neuron may still be zero", () => {
    const { x1, y, live } = feedForward([-2, 0, 1, 3], 0);
    expect(live).toHaveLength(4);
    expect(x1.filter((value) => value !== 0)).toEqual([4, 6, 30]);
    expect(y).toEqual([12, -26, 32, -6]);
  });
});

it("gates that are no numbers live, so that they show", () => {
  expect([...selectGates(Float64Array.of(Number.NaN, -1, 0, 1), 0)]).toEqual([0, 3]);
  expect([...selectGates(Float64Array.of(Number.NaN, 0.4, 0.5, Number.NEGATIVE_INFINITY), 0.5)]).toEqual([
    0, 2,
  ]);
});

describe("rewrite", async () => {
  const file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 1));
  const silu = await buildProgram(file);
  const relu = withActivation(silu, { kind: "relu" });
  const recipe = (...layers: number[]) =>
    ({
      method: "prosparse",
      version: 1,
      layers: layers.map((layer) => ({ layer, liveShare: 0.25 })),
    }) as const;

  it("reads rows of up and columns of down by the choice of gates", () => {
    const lines = printProgram(rewriteNeurons(relu, recipe(1))).split("\n");
    expect(lines.filter((line) => line.includes("neurons"))).toHaveLength(3);
    expect(lines.find((line) => line.includes("selectColumns"))).toMatch(
      /layers\.1\.neurons = .*x > 0 of 160/,
    );
    expect(lines.find((line) => line.includes("linearRows"))).toMatch(/layers\.1\.feedForward\.up/);
  });

  it("counts the bytes of exact mode", () => {
    const model = {
      weightBytes: ({ rows, columns }: { rows: number; columns: number }) => rows * columns,
      keyValueFormat: "f16" as const,
      attended: 1,
    };
    const norms = 2 * 64;
    const [dense, exact] = [relu, rewriteNeurons(relu, recipe(0, 1))].map(
      (program) => countCost(program, model).reads.byKind.feedForward - norms,
    );
    expect(exact / dense).toBeCloseTo((1 + 2 * 0.25) / 3, 6);
  });

  const dip = (input?: number, glu?: number) => freeRecipe(input, glu);
  const chosenOps = (program: Program) =>
    printProgram(program)
      .split("\n")
      .filter((line) => /linearRows|linearColumns|selectColumns/.test(line))
      .map((line) => line.trim());

  it("behind chosen columns, gate and up stay as they are read and down's choice is made among the live", () => {
    const lines = chosenOps(rewriteNeurons(rewriteColumns(relu, dip(0.5, 0.25)), recipe(0)));
    expect(lines).toHaveLength(9);
    expect(lines[1]).toMatch(/linearColumns.*feedForward\.gate.*feedForward\.up/);
    expect(lines[2]).toMatch(/layers\.0\.neurons = .*x > 0 of 160/);
    expect(lines[3]).toMatch(/layers\.0\.neurons\.glu\.columns = .*top 40 of 160 among layers\.0\.neurons/);
    expect(lines[4]).toMatch(/linearColumns\(.*layers\.0\.neurons\.glu\.columns/);
    expect(lines.slice(5).join("\n")).not.toMatch(/neurons/);
    // Without a choice for down the live neurons are it.
    const alone = chosenOps(rewriteNeurons(rewriteColumns(relu, dip(0.5)), recipe(0, 1)));
    expect(alone).toHaveLength(8);
    expect(alone[3]).toMatch(/linearColumns\(.*layers\.0\.neurons, layers\.0\.feedForward\.down/);
  });

  it("before chosen columns, up stays with the live neurons and gate is read by columns", () => {
    const lines = chosenOps(rewriteColumns(rewriteNeurons(relu, recipe(0, 1)), dip(0.5, 0.25)));
    expect(lines).toHaveLength(12);
    expect(lines[0]).toMatch(/input\.columns = .*top 32 of 64/);
    expect(lines[1]).toMatch(/linearColumns.*feedForward\.gate/);
    expect(lines[1]).not.toMatch(/feedForward\.up/);
    expect(lines[2]).toMatch(/layers\.0\.neurons = .*x > 0 of 160/);
    expect(lines[3]).toMatch(/linearRows\(.*layers\.0\.neurons, layers\.0\.feedForward\.up/);
    expect(lines[4]).toMatch(/top 40 of 160 among layers\.0\.neurons/);
  });

  it("counts the bytes of both, the smaller share where two choices meet", () => {
    const model = {
      weightBytes: ({ rows, columns }: { rows: number; columns: number }) => rows * columns,
      keyValueFormat: "f16" as const,
      attended: 1,
    };
    const reads = (program: Program) => countCost(program, model).reads.byKind.feedForward - 2 * 64;
    const matrices = 2 * 64 * 160;
    expect(reads(rewriteNeurons(rewriteColumns(relu, dip(0.5, 0.75)), recipe(0, 1)))).toBeCloseTo(
      matrices * (0.5 + 0.5 + 0.25),
      6,
    );
    expect(reads(rewriteColumns(rewriteNeurons(relu, recipe(0, 1)), dip(0.5, 0.125)))).toBeCloseTo(
      matrices * (0.5 + 0.25 + 0.125),
      6,
    );
  });

  it("gives every layer its own predictor, layers 2 and 10 too", async () => {
    const shape = syntheticShape("llama", { layers: 11 });
    const deep = await openSyntheticGguf(createSyntheticCheckpoint("llama", shape, 1));
    const program = withActivation(await buildProgram(deep), { kind: "relu" });
    const predictor = { rank: 32, predictedShare: 0.3, recall: 0.9 };
    const layers = [10, 2].map((layer) => ({ layer, liveShare: 0.25, predictor }));
    const rewritten = rewriteNeurons(program, { method: "prosparse", version: 1, layers });
    const predictors = rewritten.ops.flatMap((op) =>
      op.kind === "linear" && op.weight.name.includes("predictor") ? [op.weight] : [],
    );
    expect(predictors.map(({ name, tensor }) => [name, tensor])).toEqual(
      [2, 10].flatMap((layer) =>
        ["inner", "outer"].map((part) => [
          `layers.${layer}.feedForward.predictor.${part}`,
          `skim.layers.${layer}.predictor.${part}.weight`,
        ]),
      ),
    );
  });

  it("leaves no columns of gate to choose where a predictor chooses neurons, even in one layer", () => {
    const predictor = { rank: 32, predictedShare: 0.3, recall: 0.9 };
    const layers = [
      { layer: 0, liveShare: 0.25, predictor },
      { layer: 1, liveShare: 0.25 },
    ];
    const predicted = rewriteNeurons(relu, { method: "prosparse", version: 1, layers });
    expect(() => rewriteColumns(predicted, dip(0.5, 0.5))).toThrow(/no place for a choice of columns/);
    const narrowed = chosenOps(rewriteColumns(predicted, dip(undefined, 0.125)));
    expect(narrowed.filter((line) => /top 20 of 160 among layers\.\d\.neurons/.test(line))).toHaveLength(2);
  });

  it("skips neurons once", () => {
    for (const once of [
      rewriteNeurons(rewriteColumns(relu, dip(0.5, 0.5)), recipe(0, 1)),
      rewriteNeurons(rewriteColumns(relu, dip(0.5)), recipe(0, 1)),
      rewriteColumns(rewriteNeurons(relu, recipe(0, 1)), dip(0.5, 0.5)),
    ]) {
      expect(() => sparseLayers(once)).toThrow(/no gated feed-forward of plain linears left/);
    }
  });

  it("refuses what is never exactly zero, and what it cannot find", () => {
    expect(() => rewriteNeurons(silu, recipe(0))).toThrow(/activation is silu, expected relu or fatrelu/);
    expect(() => sparseLayers(silu)).toThrow(/silu/);
    expect(() => rewriteNeurons(relu, recipe(9))).toThrow(/layer 9 has no gated feed-forward/);
    expect(() => rewriteNeurons(rewriteNeurons(relu, recipe(0)), recipe(0))).toThrow(
      /another method has replaced it/,
    );
    expect(sparseLayers(relu)).toEqual([0, 1]);
  });
});
