/**
 * Weights go from the file into kernel memory once: the process may peak at 1.15 times the packed size plus 150 MB.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

/** Large enough that a second copy of the weights would break the bound: about 250 MB at 8 bits. */
const SHAPE = "d=2048,ff=5632,layers=5,heads=32,kv=4,vocab=2048,ctx=256";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-memory-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("peak memory", () => {
  for (const { format, forced } of [
    { format: "q8_0", forced: "auto" },
    { format: "f16", forced: "q8" },
  ]) {
    it(`stays within 1.15 x packed size + 150 MB for ${format} files held as ${forced}`, async () => {
      const model = path.join(folder, `${format}.gguf`);
      expect((await skim(["synth", "--shape", SHAPE, "--format", format, "--out", model])).code).toBe(0);
      const bench = await skim([
        ...["bench", "--model", model, "--weight-format", forced, "--json"],
        ...["--prompt-tokens", "64", "--generated-tokens", "4", "--repetitions", "1"],
      ]);
      expect(bench.stderr).not.toContain("skim:");
      const { peakMemoryBytes, weightBytes } = JSON.parse(bench.stdout);
      expect(weightBytes).toBeGreaterThan(230e6);
      expect(peakMemoryBytes).toBeGreaterThan(weightBytes);
      expect(peakMemoryBytes).toBeLessThan(1.15 * weightBytes + 150e6);
    });
  }
});
