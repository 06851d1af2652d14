import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../errors.ts";
import { finishedBytes, memorySink, memorySource } from "../../platform/memory.ts";
import { parseTransformerShape } from "../model-shapes.ts";
import type { TraceContent } from "./column-trace.ts";
import { HOOKS } from "./memory-plan.ts";
import { createSyntheticTrace } from "./synthetic-trace.ts";
import { openTrace, TraceWriter } from "./trace-file.ts";

const SHAPE = parseTransformerShape("layers=2,d=10,ff=17,heads=2,kv=1,vocab=9");
const LENGTHS = [3, 2];

/** Score of column i: distinct for every record. */
function scoreOf(sequence: number, token: number, layer: number, hook: number, column: number): number {
  return sequence * 1000 + token * 100 + layer * 10 + hook * 5 + column / 32;
}

async function writeTrace(content: TraceContent): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink("trace");
  const writer = new TraceWriter(sink, { shape: SHAPE, content, origin: "test" });
  for (const [sequence, tokens] of LENGTHS.entries()) {
    writer.startSequence(7 + sequence);
    for (let token = 0; token < tokens; token++) {
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        for (const [at, columns] of [10, 17].entries()) {
          if (content === "scores") {
            writer.addScores(
              Float32Array.from({ length: columns }, (_, i) => scoreOf(sequence, token, layer, at, i)),
            );
          } else {
            writer.addColumns(Int32Array.of((sequence + token) % columns, columns - 1, -1), 2);
          }
        }
      }
      await writer.endToken();
    }
  }
  await writer.finish();
  return finishedBytes(sink);
}

describe("column traces", () => {
  it("gives back every score", async () => {
    const trace = await openTrace(memorySource("trace", await writeTrace("scores")));
    expect(trace.header).toEqual({
      shape: SHAPE,
      content: "scores",
      origin: "test",
      sequences: [
        { promptTokens: 7, tokens: 3 },
        { promptTokens: 8, tokens: 2 },
      ],
    });
    for (const [sequence, tokens] of LENGTHS.entries()) {
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        for (const [at, hook] of HOOKS.entries()) {
          const record = await trace.readHook(sequence, layer, hook);
          const columns = hook === "input" ? 10 : 17;
          const wanted = Array.from({ length: tokens * columns }, (_, i) =>
            scoreOf(sequence, Math.floor(i / columns), layer, at, i % columns),
          );
          expect(record.content === "scores" && [...record.scores]).toEqual(wanted);
        }
      }
    }
  });

  it("gives back every selection", async () => {
    const trace = await openTrace(memorySource("trace", await writeTrace("columns")));
    const record = await trace.readHook(1, 1, "glu");
    expect(record).toEqual({
      content: "columns",
      selections: { starts: Uint32Array.of(0, 2, 4), columnsOf: Int32Array.of(1, 16, 2, 16) },
    });
  });

  it("refuses records out of order or of the wrong size", async () => {
    const writer = new TraceWriter(memorySink("t"), { shape: SHAPE, content: "scores", origin: "test" });
    expect(() => writer.addScores(new Float32Array(10))).toThrow(/within a sequence/);
    writer.startSequence(0);
    expect(() => writer.addScores(new Float32Array(17))).toThrow(/expected scores of 10 columns \(input\)/);
    expect(() => writer.addColumns(new Int32Array(1), 1)).toThrow(/expected scores/);
    writer.addScores(new Float32Array(10));
    await expect(writer.endToken()).rejects.toThrow(/expected 4 records before the end of a token, got 1/);
    await expect(writer.finish()).rejects.toThrow(/before the end of the trace/);
  });

  it("refuses scores that are no magnitudes", async () => {
    const bytes = await writeTrace("scores");
    new DataView(bytes.buffer).setFloat32(8, -1, true);
    const trace = await openTrace(memorySource("trace", bytes));
    await expect(trace.readHook(0, 0, "input")).rejects.toThrow(/finite scores of at least 0, got -1/);
  });

  it("answers any damage with one FormatError", async () => {
    const bytes = await writeTrace("columns");
    const damaged = fc.oneof(
      fc.nat(bytes.length - 1).map((size) => bytes.slice(0, size)),
      fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
        const copy = bytes.slice();
        copy[at] ^= flip;
        return copy;
      }),
    );
    await fc.assert(
      fc.asyncProperty(damaged, async (content) => {
        try {
          const trace = await openTrace(memorySource("trace", content));
          await trace.readHook(0, 0, "input");
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("synthetic traces", () => {
  const options = {
    shape: SHAPE,
    sequences: 2,
    tokens: 4000,
    promptTokens: 0,
    correlation: 0.6,
    spread: 0,
    seed: 5,
  };

  it("says what it is and depends on nothing but the stream", async () => {
    const [one, two] = [createSyntheticTrace(options), createSyntheticTrace(options)];
    expect(one.header.origin).toMatch(/synthetic scores, no model was run/);
    const glu = await one.readHook(1, 1, "glu");
    await two.readHook(0, 0, "input");
    expect(await two.readHook(1, 1, "glu")).toEqual(glu);
    expect(await two.readHook(0, 1, "glu")).not.toEqual(glu);
  });

  it("has the correlation asked for", async () => {
    const record = await createSyntheticTrace(options).readHook(0, 0, "input");
    if (record.content !== "scores") throw new Error("expected scores");
    // For normal numbers of correlation r, squares correlate with r^2.
    const squares = record.scores.map((score) => score * score);
    let [mean, variance, covariance] = [0, 0, 0];
    for (const square of squares) mean += square / squares.length;
    for (let i = 0; i < squares.length; i++) {
      variance += (squares[i] - mean) ** 2;
      if (i >= 10) covariance += (squares[i] - mean) * (squares[i - 10] - mean);
    }
    expect(mean).toBeCloseTo(1, 1);
    expect(covariance / variance).toBeCloseTo(0.36, 1);
  });

  it("refuses parameters out of range", () => {
    expect(() => createSyntheticTrace({ ...options, correlation: 1 })).toThrow(/correlation/);
    expect(() => createSyntheticTrace({ ...options, spread: -1 })).toThrow(/spread/);
  });
});
