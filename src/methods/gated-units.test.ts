/** Which ops are a gated feed-forward's, where layers share buffers and a method has replaced some. */
import { beforeAll, expect, it } from "vitest";
import { buildProgram } from "../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import type { LinearOp, Op, Program } from "../program/program.ts";
import { layerOfPart } from "../program/weight-names.ts";
import { findColumnUnits, findGatedUnits } from "./gated-units.ts";

let program: Program;

beforeAll(async () => {
  const checkpoint = createSyntheticCheckpoint("llama", syntheticShape("llama"), 3);
  program = await buildProgram(await openSyntheticGguf(checkpoint));
});

/** The program in which the down projection of layer 0 is something else. */
function withoutFirstDown(replace: (down: LinearOp) => readonly Op[]): Program {
  const ops = program.ops.flatMap((op) =>
    op.kind === "linear" && layerOfPart(op.weight.name, "feedForward.down") === 0 ? replace(op) : [op],
  );
  return { ...program, ops };
}

it("finds one unit per layer, each with its own down projection", () => {
  const units = findGatedUnits(program);
  expect(units.map(({ layer }) => layer)).toEqual([0, 1]);
  const downs = units.map(({ down }) => (program.ops[down] as LinearOp).weight.name);
  expect(downs).toEqual(["layers.0.feedForward.down", "layers.1.feedForward.down"]);
});

it("takes no later layer's down projection for one that reads chosen columns", () => {
  const chosen = withoutFirstDown(({ x, weight, bias, out }) => {
    const rule = { kind: "topK", count: 8 } as const;
    const selection = { name: "chosen", width: x.width, rule };
    return [
      { kind: "selectColumns", x, out: selection },
      { kind: "linearColumns", x, selection, parts: [{ weight, bias, out }] },
    ];
  });
  expect(findGatedUnits(chosen).map(({ layer }) => layer)).toEqual([1]);
  expect(findColumnUnits(chosen).map(({ layer }) => layer)).toEqual([0]);
});

it("takes no later layer's down projection for one that is gone", () => {
  const gone = withoutFirstDown(() => []);
  expect(findGatedUnits(gone).map(({ layer }) => layer)).toEqual([1]);
});
