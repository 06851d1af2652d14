import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSyntheticModel } from "../../test/synthetic-model.ts";
import type { Model } from "../session/model.ts";
import { type BenchmarkOptions, runBenchmark } from "./benchmark.ts";

describe("runBenchmark", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadSyntheticModel({ engine: { stepTokens: 16 } });
  });
  afterAll(() => model.dispose());

  /** A clock that says every test takes 100 ms. */
  function options(changes: Partial<BenchmarkOptions> = {}): BenchmarkOptions {
    let time = 0;
    const now = () => {
      time += 100;
      return time;
    };
    return { promptTokens: [32], generatedTokens: [4], depths: [0, 10], repetitions: 3, now, ...changes };
  }

  it("names the tests and counts their bytes", async () => {
    const report = await runBenchmark(model, options());
    expect(report.tests.map((test) => test.name)).toEqual(["pp32", "tg4", "pp32 @ d10", "tg4 @ d10"]);
    expect(report.tests[0].tokensPerSecond).toEqual({ mean: 320, stdev: 0, median: 320 });
    const reads = [1, 2, 3, 4].map((attended) => model.executor.readBytes(attended).total);
    expect(report.tests[1].bytesPerToken).toBeCloseTo(reads.reduce((sum, bytes) => sum + bytes) / 4, 6);
    const { keyValue } = model.executor.readBytes(1).byKind;
    const weights = model.executor.readBytes(1).total - keyValue;
    // Two steps of 16 tokens; the mean token of 32 sees 16.5 positions.
    expect(report.tests[0].bytesPerToken).toBeCloseTo((2 * weights) / 32 + 16.5 * keyValue, 6);
    expect(report.roofline.gigabytesPerSecond).toBeNull();
  });

  it("relates bytes per second to the bandwidth the executor measured", async () => {
    const measured = [2, 4];
    Object.assign(model.executor, { measureBandwidth: async () => measured.shift() });
    const report = await runBenchmark(model, options({ depths: [0], promptTokens: [] }));
    expect(report.roofline.gigabytesPerSecond).toBe(4);
    expect(report.tests[0].rooflineShare).toBeCloseTo((40 * report.tests[0].bytesPerToken) / 4e9, 12);
  });

  it("refuses tests that do not fit the context", async () => {
    await expect(runBenchmark(model, options({ depths: [250] }))).rejects.toThrow("needs 282 positions");
  });
});
