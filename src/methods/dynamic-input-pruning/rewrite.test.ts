/**
 * The rewrite: which ops a layer becomes, how many columns are kept, what it costs, and what it refuses.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { UnsupportedError } from "../../errors.ts";
import { countCost } from "../../program/accounting.ts";
import { printProgram } from "../../program/printer.ts";
import type { Program } from "../../program/program.ts";
import { validateProgram } from "../../program/validator.ts";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { SYNTHETIC_FAMILIES, syntheticShape } from "../../models/synthetic/shape.ts";
import { type ColumnRecipe, columnRecipeSchema, dipRecipe, freeRecipe, neuronRecipe } from "./recipe.ts";
import { rewriteColumns } from "./rewrite.ts";

let program: Program;

beforeAll(async () => {
  program = await buildProgram(
    await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 3)),
  );
});

function kindsOfLayer(rewritten: Program): string[] {
  const first = rewritten.ops.findIndex(
    (op) => op.kind === "rmsNorm" && op.weight.name.includes("0.feedForward"),
  );
  const end = rewritten.ops.findIndex((op, i) => i > first && op.kind === "add");
  return rewritten.ops.slice(first, end + 1).map(({ kind }) => kind);
}

describe("rewriteColumns", () => {
  test("gate and up become one op over one choice", () => {
    expect(kindsOfLayer(rewriteColumns(program, freeRecipe(0.5, 0.25)))).toEqual([
      "rmsNorm",
      "selectColumns",
      "linearColumns",
      "glu",
      "selectColumns",
      "linearColumns",
      "add",
    ]);
    expect(printProgram(rewriteColumns(program, freeRecipe(0.5, 0.25)))).toContain(
      "input.columns = selectColumns(normed, top 32 of 64)",
    );
  });

  test("GLU pruning leaves gate and up dense", () => {
    expect(kindsOfLayer(rewriteColumns(program, freeRecipe(undefined, 0.25)))).toEqual([
      "rmsNorm",
      "linear",
      "linear",
      "glu",
      "selectColumns",
      "linearColumns",
      "add",
    ]);
  });

  test.each(SYNTHETIC_FAMILIES)("every family: %s", async (family) => {
    const file = await openSyntheticGguf(createSyntheticCheckpoint(family, syntheticShape(family), 3));
    const rewritten = rewriteColumns(await buildProgram(file), dipRecipe(0.5));
    expect(rewritten.ops.filter(({ kind }) => kind === "selectColumns")).toHaveLength(4);
  });

  test("bytes: 2 k_in f + k_glu d of the feed-forward, all of it for prompts", () => {
    const model = {
      weightBytes: (w: { rows: number; columns: number }) => w.rows * w.columns,
      keyValueFormat: "f16" as const,
      attended: 1,
    };
    const norms = 2 * 64;
    const reads = (p: Program, phase?: "prompt") =>
      countCost(p, { ...model, phase }).reads.byKind.feedForward - norms;
    // D = 0.5 of 64 x 160: floor(.574385 * 64) = 36 inputs, floor(.351230 * 160) = 56 units, in 2 layers
    expect(reads(rewriteColumns(program, dipRecipe(0.5)))).toBeCloseTo(2 * (2 * 36 * 160 + 56 * 64), 6);
    expect(reads(rewriteColumns(program, dipRecipe(0.5)), "prompt")).toBe(2 * 3 * 64 * 160);
    expect(reads(rewriteColumns(program, dipRecipe(1)))).toBe(reads(program));
  });

  test("gate pruning: up by rows, down by columns of neurons that the activated gate chooses", () => {
    const rewritten = rewriteColumns(program, neuronRecipe("gate", 0.25));
    expect(kindsOfLayer(rewritten)).toEqual([
      "rmsNorm",
      "linear",
      "activate",
      "selectColumns",
      "linearRows",
      "glu",
      "linearColumns",
      "add",
    ]);
    const printed = printProgram(rewritten);
    expect(printed).toContain("gate.activated[T,160] = silu(gate)");
    expect(printed).toContain("neurons = selectColumns(gate.activated, top 40 of 160)");
    expect(printed).toContain("linearRows(normed, neurons, layers.0.feedForward.up[160,64])");
  });

  test("up pruning: up stays dense, gate is read by rows after it", () => {
    const rewritten = rewriteColumns(program, neuronRecipe("up", 0.25));
    expect(kindsOfLayer(rewritten)).toEqual([
      "rmsNorm",
      "linear",
      "selectColumns",
      "linearRows",
      "glu",
      "linearColumns",
      "add",
    ]);
    expect(printProgram(rewritten)).toContain(
      "linearRows(normed, neurons, layers.1.feedForward.gate[160,64])",
    );
  });

  test("bytes of neurons: (1 + 2 rho) / 3 of the feed-forward; measured shares count for thresholds", () => {
    const model = {
      weightBytes: (w: { rows: number; columns: number }) => w.rows * w.columns,
      keyValueFormat: "f16" as const,
      attended: 1,
    };
    const norms = 2 * 64;
    const reads = (recipe: ColumnRecipe) =>
      countCost(rewriteColumns(program, recipe), model).reads.byKind.feedForward - norms;
    expect(reads(neuronRecipe("gate", 0.25))).toBeCloseTo((2 * 3 * 64 * 160 * (1 + 2 * 0.25)) / 3, 6);
    expect(reads(neuronRecipe("up", 1))).toBe(2 * 3 * 64 * 160);
    const choice = { kind: "thresholds" as const, thresholds: [0.1, 0.2], shares: [0.5, 0.25] };
    expect(
      reads({ method: "dynamic-input-pruning", version: 1, neurons: { by: "gate", choice } }),
    ).toBeCloseTo(64 * 160 * (2 + 2 * 0.5 + 2 * 0.25), 6);
  });

  test("refuses neurons together with columns of the same matrices, and shares for other layers", () => {
    const both = { ...neuronRecipe("gate", 0.5), glu: { kind: "density" as const, density: 0.5 } };
    expect(() => rewriteColumns(program, both)).toThrow(/neurons by gate and columns of the same matrices/);
    expect(() => rewriteColumns(rewriteColumns(program, dipRecipe(0.5)), neuronRecipe("up", 0.5))).toThrow(
      /0 of \d+ gated feed-forwards are plain linears whose neurons can be chosen by up/,
    );
    const choice = { kind: "thresholds" as const, thresholds: [0.1, 0.2], shares: [0.5] };
    const recipe = {
      method: "dynamic-input-pruning" as const,
      version: 1 as const,
      neurons: { by: "gate" as const, choice },
    };
    expect(() => rewriteColumns(program, recipe)).toThrow(
      /shares of neurons, expected one for each of 2 layers/,
    );
  });

  test("refuses programs without a place for it, and thresholds for other layers", () => {
    const once = rewriteColumns(program, dipRecipe(0.5));
    expect(() => rewriteColumns(once, dipRecipe(0.5))).toThrow(UnsupportedError);
    const thresholds = { kind: "thresholds" as const, thresholds: [0.1] };
    const recipe = { method: "dynamic-input-pruning" as const, version: 1 as const, glu: thresholds };
    expect(() => rewriteColumns(program, recipe)).toThrow(/expected one for each of 2 layers, got 1/);
  });
});

describe("the validator", () => {
  test("refuses a selection of values that are there no more", () => {
    const rewritten = rewriteColumns(program, dipRecipe(0.5));
    const at = rewritten.ops.findIndex(({ kind }) => kind === "linearColumns");
    const ops = rewritten.ops.toSpliced(at - 1, 1);
    expect(() => validateProgram({ ...rewritten, ops })).toThrow(/selection input.columns is not of normed/);
  });
});

describe("the validator on neurons", () => {
  test("refuses columns of another choice than the gated unit's", () => {
    const rewritten = rewriteColumns(program, neuronRecipe("gate", 0.5));
    const at = rewritten.ops.findIndex(({ kind }) => kind === "selectColumns");
    const op = rewritten.ops[at];
    if (op.kind !== "selectColumns") throw new Error("expected a choice");
    // Chosen from the activated values of a gate that has been written again since.
    const gate = rewritten.ops[at - 2];
    const ops = rewritten.ops.toSpliced(at + 1, 0, gate);
    expect(() => validateProgram({ ...rewritten, ops })).toThrow(/selection neurons is not of/);
  });
});

describe("recipe", () => {
  test.each([
    [{ method: "dynamic-input-pruning", version: 1, input: { kind: "density", density: 1.5 } }],
    [{ method: "dynamic-input-pruning", version: 2 }],
    [{ method: "dynamic-input-pruning", version: 1, gate: { kind: "density", density: 0.5 } }],
  ])("refuses %o", (recipe) => {
    expect(columnRecipeSchema.safeParse(recipe).success).toBe(false);
  });

  test("density is shared out as the paper does, and refused below its range", () => {
    expect(dipRecipe(0.5)).toMatchObject({
      input: { density: expect.closeTo(0.574385, 6) },
      glu: { density: expect.closeTo(0.35123, 6) },
    });
    expect(() => dipRecipe(8e-4)).toThrow(/density/);
  });
});
