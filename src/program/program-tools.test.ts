/**
 * Validator, printer and accounting on small hand-made programs and on a synthetic Llama.
 */
import { describe, expect, test } from "vitest";
import { loadProgram } from "../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../models/synthetic/shape.ts";
import { countCost, weightKind } from "./accounting.ts";
import { ProgramBuilder } from "./builder.ts";
import { choiceOps, programBuffers, programCaches, programWeights } from "./dataflow.ts";
import { printProgram } from "./printer.ts";
import type { Op, Program, Weight } from "./program.ts";
import { validateProgram } from "./validator.ts";

function weight(name: string, rows: number, columns: number): Weight {
  return { name, rows, columns, tensor: name, firstRow: 0 };
}

/** embedding, one norm, head: the least program that is valid. */
function tinyProgram(): Program {
  const builder = new ProgramBuilder();
  const hidden = builder.embed(weight("embedding", 10, 4), "hidden", 2);
  const normed = builder.rmsNorm(hidden, weight("layers.0.attention.norm", 1, 4), 1e-5, "normed");
  builder.accumulate(hidden, normed, 0.5);
  const selected = builder.selectOutputs(hidden, "selected");
  const logits = builder.linear(selected, weight("head", 10, 4), undefined, "logits");
  return builder.finish({ name: "tiny", contextLength: 16 }, logits);
}

function withOps(change: (ops: Op[]) => Op[]): () => Program {
  const program = tinyProgram();
  return () => validateProgram({ ...program, ops: change([...program.ops]) });
}

async function syntheticLlama(): Promise<Program> {
  const shape = syntheticShape("llama");
  return (await loadProgram(await openSyntheticGguf(createSyntheticCheckpoint("llama", shape, 1)))).program;
}

describe("validator", () => {
  test("accepts valid programs", () => {
    expect(withOps((ops) => ops)()).toEqual(tinyProgram());
  });

  test("names the op and the problem", () => {
    expect(withOps((ops) => ops.slice(1))).toThrow(
      /op 0 \(normed.*buffer hidden is read before it is written/,
    );
    expect(withOps((ops) => ops.slice(0, -1))).toThrow(/expected the last op's result \[outputs, 10\]/);
    const [embed] = tinyProgram().ops;
    if (embed.kind !== "embed") {
      throw new Error("the first op embeds");
    }
    const wide = { ...embed, table: weight("embedding", 10, 5) };
    expect(withOps((ops) => [wide, ...ops.slice(1)])).toThrow(/out width, expected 5, got 4/);
    const again: Op = { ...embed, table: weight("embedding", 20, 4) };
    expect(withOps((ops) => [embed, again, ...ops.slice(1)])).toThrow(/weight embedding means two things/);
  });

  test("refuses a linear in place", () => {
    const [embed, ...rest] = tinyProgram().ops;
    const hidden = { name: "hidden", width: 4, rows: "tokens" } as const;
    const inPlace: Op = {
      kind: "linear",
      x: hidden,
      weight: weight("w", 4, 4),
      bias: undefined,
      out: hidden,
    };
    expect(withOps(() => [embed, inPlace, ...rest])).toThrow(/reads and writes hidden/);
  });

  test("refuses attention to an empty cache", async () => {
    const program = await syntheticLlama();
    const ops = program.ops.filter(({ kind }) => kind !== "storeKeyValue");
    expect(() => validateProgram({ ...program, ops })).toThrow(/layers\.0\.cache is attended to before/);
  });

  test("the builder refuses one name for two shapes", () => {
    const builder = new ProgramBuilder();
    builder.embed(weight("embedding", 10, 4), "hidden");
    expect(() => builder.embed(weight("other", 10, 5), "hidden")).toThrow(/hidden reused/);
  });
});

test("printer writes one op per line", () => {
  expect(printProgram(tinyProgram())).toBe(
    [
      "program tiny: 5 ops, vocabulary 10, context 16",
      "0  hidden[T,4] = embed(embedding[10,4]) * 2",
      "1  normed[T,4] = rmsNorm(hidden, layers.0.attention.norm, epsilon 0.00001)",
      "2  hidden[T,4] = hidden + normed * 0.5",
      "3  selected[R,4] = selectOutputs(hidden)",
      "4  logits[R,10] = linear(selected, head[10,4])",
    ].join("\n"),
  );
});

describe("accounting", () => {
  test("groups weights by name", () => {
    expect(weightKind("layers.12.attention.query.bias")).toBe("attention");
    expect(weightKind("layers.0.feedForward.norm")).toBe("feedForward");
    expect(weightKind("head")).toBe("head");
    expect(weightKind("finalNorm")).toBe("other");
  });

  test("counts a synthetic Llama exactly", async () => {
    // D 64, F 160, H 4, K 2, d 16, V 320, 2 layers; one byte per weight.
    const program = await syntheticLlama();
    const weightBytes = ({ rows, columns }: Weight) => rows * columns;
    const { reads, multiplyAdds } = countCost(program, {
      weightBytes,
      keyValueFormat: "f16",
      attended: 10,
    });
    const attention = 2 * (64 + 64 * 64 + 2 * 32 * 64 + 64 * 64);
    const feedForward = 2 * (64 + 3 * 160 * 64);
    const keyValue = 2 * 10 * 2 * 2 * 16 * 2;
    expect(reads.byKind).toEqual({ attention, feedForward, head: 320 * 64, keyValue, other: 64 + 64 });
    expect(reads.total).toBe(attention + feedForward + 320 * 64 + keyValue + 128);
    const matrices = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 160 * 64) + 320 * 64;
    const attended = 2 * 2 * 64 * 10;
    const elementwise = 64 + 2 * (2 * 2 * 64 + 4 * (4 + 2) * 8 + 160 + 2 * 64) + 2 * 64;
    expect(multiplyAdds).toBe(matrices + attended + elementwise);
  });

  test("a sliding window bounds the positions read", async () => {
    const program = await syntheticLlama();
    const windowed = {
      ...program,
      ops: program.ops.map((op) => (op.kind === "attention" ? { ...op, window: 6 } : op)),
    };
    const model = { weightBytes: () => 0, keyValueFormat: "f32" } as const;
    const bytes = (attended: number) => countCost(windowed, { ...model, attended }).reads.total;
    expect(bytes(5)).toBe(2 * 5 * 2 * 2 * 16 * 4);
    expect(bytes(6)).toBe(bytes(600));
  });
});

test("dataflow lists every weight, buffer and cache once", async () => {
  const program = await syntheticLlama();
  expect(programWeights(program).length).toBe(2 * 9 + 3);
  expect(programCaches(program).map(({ name }) => name)).toEqual(["layers.0.cache", "layers.1.cache"]);
  expect(programBuffers(program).map(({ name }) => name)).toEqual([
    "hidden",
    "normed",
    "query",
    "key",
    "value",
    "attended",
    "projected",
    "gate",
    "up",
    "selected",
    "logits",
  ]);
});

test("dataflow finds what serves choices alone, not what nobody reads", () => {
  const builder = new ProgramBuilder();
  const hidden = builder.embed(weight("embedding", 10, 4), "hidden", 2);
  const wide = builder.linear(hidden, weight("wide", 4, 4), undefined, "wide");
  const logits = builder.linear(wide, weight("head", 10, 4), undefined, "logits");
  const { ops, ...program } = builder.finish({ name: "tiny", contextLength: 16 }, logits);
  const buffer = (name: string) => ({ ...wide, name });
  const relu = { kind: "relu" } as const;
  const guess: Op[] = [
    { kind: "linear", x: hidden, weight: weight("guess", 4, 4), bias: undefined, out: buffer("guess") },
    { kind: "activate", x: buffer("guess"), out: buffer("score"), activation: relu },
    { kind: "activate", x: buffer("guess"), out: buffer("seen from outside"), activation: relu },
  ];
  const choose: Op = {
    kind: "selectColumns",
    x: buffer("score"),
    out: { name: "chosen", width: 4, rule: { kind: "topK", count: 2 } },
  };
  const found = (between: readonly Op[]) => [
    ...choiceOps({ ...program, ops: ops.toSpliced(2, 0, ...between) }),
  ];
  expect(found([...guess, choose])).toEqual([guess[1]]);
  expect(found([...guess.slice(0, 2), choose])).toEqual([guess[1], guess[0]]);
  expect(found(guess)).toEqual([]);
});
