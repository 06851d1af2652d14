import { describe, expect, it } from "vitest";
import { loadSyntheticModel } from "../../../test/synthetic-model.ts";
import { ReferenceExecutor } from "../../executors/reference/reference-executor.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import { loadProgram } from "../../models/registry.ts";
import { finishedBytes, memorySink, memorySource } from "../../platform/memory.ts";
import type { Model } from "../../session/model.ts";
import type { ColumnTrace } from "./column-trace.ts";
import { HOOKS } from "./memory-plan.ts";
import { recordTrace } from "./record-trace.ts";
import { openTrace } from "./trace-file.ts";

const SEQUENCES = [
  [1, 20, 30, 40, 50, 60, 70],
  [1, 99, 98, 97, 96, 95, 94],
];

function executorOf(model: Model): ReferenceExecutor {
  if (model.executor instanceof ReferenceExecutor) return model.executor;
  throw new Error("expected the reference executor");
}

async function shapeOf(model: Model) {
  const { layers, width, feedForwardWidth, heads, kvHeads, headWidth, vocabularySize } = (
    await loadProgram(model.file)
  ).parameters;
  return {
    name: "m",
    gated: true,
    layers,
    width,
    feedForwardWidth,
    heads,
    kvHeads,
    headWidth,
    vocabularySize,
  };
}

async function record(model: Model): Promise<ColumnTrace> {
  const sink = memorySink("run.trace");
  await recordTrace(executorOf(model), sink, {
    shape: await shapeOf(model),
    origin: "test",
    sequences: SEQUENCES,
    promptTokens: 3,
  });
  return openTrace(memorySource("run.trace", finishedBytes(sink)));
}

async function scoresOf(trace: ColumnTrace, sequence: number, layer: number, hook: (typeof HOOKS)[number]) {
  const record = await trace.readHook(sequence, layer, hook);
  if (record.content !== "scores") throw new Error("expected scores");
  return record.scores;
}

describe("recordTrace", () => {
  it("records the tokens after the prompt, however the steps are cut", async () => {
    await using whole = await loadSyntheticModel();
    await using pieces = await loadSyntheticModel({ engine: { stepTokens: 2 } });
    const [one, two] = [await record(whole), await record(pieces)];
    expect(one.header.sequences).toEqual([
      { promptTokens: 3, tokens: 4 },
      { promptTokens: 3, tokens: 4 },
    ]);
    expect(two.header).toEqual(one.header);
    for (const sequence of [0, 1]) {
      for (const hook of HOOKS) {
        const scores = await scoresOf(one, sequence, 1, hook);
        expect(scores.length).toBe(
          4 * (hook === "input" ? one.header.shape.width : one.header.shape.feedForwardWidth),
        );
        expect(await scoresOf(two, sequence, 1, hook)).toEqual(scores);
      }
    }
    expect(await scoresOf(one, 0, 0, "input")).not.toEqual(await scoresOf(one, 1, 0, "input"));
  });

  it("records what the MLP's norm gave: a mean square of 1 before the norm's weights", async () => {
    await using model = await loadSyntheticModel();
    const trace = await record(model);
    const { width } = trace.header.shape;
    for (const layer of [0, 1]) {
      const tensor = model.file.tensors.get(`blk.${layer}.ffn_norm.weight`);
      if (tensor === undefined) throw new Error("no norm");
      const weights = new Float32Array(width);
      await readDecodedRows(model.file, tensor, 0, 1, weights);
      const scores = await scoresOf(trace, 0, layer, "input");
      for (let token = 0; token < 4; token++) {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += (scores[token * width + i] / weights[i]) ** 2;
        expect(sum / width).toBeCloseTo(1, 2);
      }
    }
  });

  it("leaves no trace behind when a step fails", async () => {
    await using model = await loadSyntheticModel();
    const sink = memorySink("run.trace");
    const options = { shape: await shapeOf(model), origin: "test", promptTokens: 0 };
    await expect(
      recordTrace(executorOf(model), sink, { ...options, sequences: [[1, 1_000_000]] }),
    ).rejects.toThrow(/1000000/);
    expect(sink.bytes()).toBeUndefined();
  });
});
