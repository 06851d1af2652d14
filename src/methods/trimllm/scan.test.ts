/** Scans find out what each unit does, without touching the model: planted useless units cost nothing. */
import { beforeAll, describe, expect, test } from "vitest";
import { inlinePlatform } from "../../../test/parity/inline-platform.ts";
import { referenceLogits } from "../../../test/tender-models.ts";
import { silence } from "../../../test/trimmed-models.ts";
import type { ChoiceQuestion } from "../../evaluation/multiple-choice.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { createSyntheticCheckpoint, openSyntheticFolder } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import type { Program } from "../../program/program.ts";
import { loadRecipeProgram } from "../recipes.ts";
import { sublayerName } from "./recipe.ts";
import { listUnits, measureInfluence, measureNorm, scanUnits, scoreProgram } from "./scan.ts";
import { chooseUnit } from "./selection.ts";

const ENGINE = { platform: inlinePlatform(), threads: 1 };
const QUESTIONS = Array.from({ length: 24 }, (_, i): ChoiceQuestion => {
  const id = (n: number) => (i * 37 + n * 11) % 320;
  return {
    prompt: [1, id(1), id(2), id(3)],
    options: [[id(4), id(5)], [id(6)], [id(7), id(8), id(9)]],
    optionBytes: [2, 1, 3],
    answer: i % 3,
  };
});
let file: ModelFile;
let program: Program;

beforeAll(async () => {
  const shape = syntheticShape("llama", { layers: 3 });
  const base = await openSyntheticFolder(createSyntheticCheckpoint("llama", shape, 5));
  program = (await loadRecipeProgram(base)).program;
  file = silence(base, program, [{ layer: 1, kind: "attention" }]);
});

describe("a scan", () => {
  test("finds the planted useless unit, and leaves every weight as it was", async () => {
    const before = await readAll();
    const whole = await scoreProgram(ENGINE, file, program, QUESTIONS);
    const units = listUnits(program, "sublayer");
    expect(units.flatMap(({ sublayers }) => sublayers.map(sublayerName))).toEqual([
      "0.attention",
      "0.mlp",
      "1.attention",
      "1.mlp",
      "2.attention",
      "2.mlp",
    ]);
    const reports = await scanUnits(ENGINE, file, program, units, QUESTIONS);
    // Only the useless one changes nothing.
    expect(reports.map(({ meanNll }) => meanNll === whole.meanNll)).toEqual([
      false,
      false,
      true,
      false,
      false,
      false,
    ]);
    expect(reports[2]).toEqual(whole);
    expect(await readAll()).toEqual(before);
    const candidates = units.map((unit, i) => ({
      ...unit,
      quality: -Math.abs(reports[i].meanNll - whole.meanNll),
      norm: 0,
    }));
    expect(chooseUnit(candidates, 0, "activation")).toMatchObject({ layer: 1, kind: "attention" });
  });

  test("norms are those of what a unit adds to the residual stream", async () => {
    const units = listUnits(program, "sublayer");
    expect(await measureNorm(ENGINE, file, program, units[2], QUESTIONS)).toBe(0);
    const norm = await measureNorm(ENGINE, file, program, units[3], QUESTIONS);
    expect(norm).toBeCloseTo(await referenceNorm(), 4);
    const [layer] = listUnits(program, "layer");
    const parts = [units[0], units[1]].map((unit) => measureNorm(ENGINE, file, program, unit, QUESTIONS));
    const together = await measureNorm(ENGINE, file, program, layer, QUESTIONS);
    expect(together).toBeCloseTo(Math.hypot(...(await Promise.all(parts))), 4);
  });

  test("influence is zero where a layer changes nothing, and not elsewhere", async () => {
    const units = listUnits(program, "sublayer");
    expect(await measureInfluence(ENGINE, file, program, units[2], QUESTIONS)).toBeCloseTo(0, 6);
    expect(await measureInfluence(ENGINE, file, program, units[3], QUESTIONS)).toBeGreaterThan(1e-4);
  });
});

/** The norm of 1.mlp by the reference executor on the same tokens. */
async function referenceNorm(): Promise<number> {
  const add = program.ops.findIndex(
    (op, i) => op.kind === "add" && program.ops.slice(i).filter(({ kind }) => kind === "add").length === 3,
  );
  const op = program.ops[add];
  if (op.kind !== "add") throw new Error("no addition");
  const out = { name: "recorded", width: op.b.width, rows: "outputs" as const };
  const ops = [...program.ops.slice(0, add), { kind: "selectOutputs" as const, x: op.b, out }];
  const ended: Program = { ...program, ops, logits: out, vocabularySize: out.width };
  let squares = 0;
  for (const { prompt, options, answer } of QUESTIONS) {
    const values = await referenceLogits(ended, file, [...prompt, ...options[answer]]);
    squares += values.reduce((sum, value) => sum + value * value, 0);
  }
  return Math.sqrt(squares);
}

async function readAll(): Promise<Float32Array[]> {
  return Promise.all(
    [...file.tensors.values()].map(async (info) => {
      const count = info.shape.reduce((product, size) => product * size, 1);
      const values = new Float32Array(count);
      await readDecodedRows(file, info, 0, count / (info.shape.at(-1) ?? 1), values);
      return values;
    }),
  );
}
