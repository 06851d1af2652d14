/**
 * Column selection as a user runs it: the folder of `skim compress dip` and the run-time flags give the same text and the
 * same quality, density 1 gives the dense model's, and mistakes get one line.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { dataPath, describeWithData } from "../shared-data.ts";
import { skim } from "./skim-process.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-dip-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function meanNll(...model: string[]): Promise<number> {
  const text = dataPath("reference/stories260K/text_a.txt");
  const flags = ["--text", text, "--protocol", "document", "--kv-format", "f32", "--threads", "1", "--json"];
  const { stdout } = await skim(["eval", "perplexity", "--model", ...model, ...flags]);
  return JSON.parse(stdout).meanNll;
}

describeWithData("dynamic input pruning", () => {
  const model = dataPath("models/stories260K/stories260K.gguf");

  it("density 1 is the dense model, lower densities cost quality step by step", async () => {
    expect(await meanNll(model, "--density", "1")).toBeCloseTo(1.315989, 4);
    const [high, middle, low] = [
      await meanNll(model, "--density", "0.8"),
      await meanNll(model, "--density", "0.7"),
      await meanNll(model, "--density", "0.5"),
    ];
    expect(high).toBeCloseTo(1.3296, 2);
    expect(middle).toBeCloseTo(1.3577, 2);
    // Far from the dense model, rounding decides much.
    expect(low).toBeGreaterThan(1.8);
    expect(low).toBeLessThan(2.1);
    expect(await meanNll(model, "--density", "0.7", "--executor", "reference")).toBeCloseTo(middle, 3);
  });

  it("a folder says what the flags say", async () => {
    const out = path.join(folder, "pruned");
    const made = await skim([
      "compress",
      "dip",
      "--model",
      model,
      "--density",
      "0.7",
      "--out",
      out,
      "--json",
    ]);
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout).density).toBeCloseTo(0.694, 3);
    const { skim: section } = JSON.parse(await readFile(path.join(out, "config.json"), "utf8"));
    expect(section.recipes[0].method).toBe("dynamic-input-pruning");
    expect(await meanNll(out)).toBe(await meanNll(model, "--density", "0.7"));
    const again = await skim(["run", "--model", out, "--density", "0.5", "--raw", "--prompt", "Once"]);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/no place for a choice of columns/);
  });

  it.each([
    ["dip", "--method", "glu", 1.34117],
    ["dip", "--method", "gate", 1.33448],
    ["dip", "--method", "up", 1.33078],
    ["cats", "--text", dataPath("reference/stories260K/text_a.txt"), 1.33497],
    ["teal", "--text", dataPath("reference/stories260K/text_a.txt"), 1.33739],
  ] as const)("%s %s %s at density 0.85", async (name, flag, value, expected) => {
    const out = path.join(folder, `family-${name}-${flag === "--text" ? "text" : value}`);
    const flags = ["--model", model, flag, value, "--density", "0.85", "--out", out, "--json"];
    const made = await skim(["compress", name, ...flags]);
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout).density).toBeCloseTo(0.85, 2);
    const nll = await meanNll(out);
    expect(nll).toBeCloseTo(expected, 4);
    expect(await meanNll(out, "--executor", "reference")).toBeCloseTo(nll, 5);
  });

  it.each([
    [[], 2, /either --density or/],
    [["--density", "0.5", "--glu-density", "0.5"], 2, /either --density or/],
    [["--method", "gate", "--glu-density", "0.5"], 2, /--method gate shares nothing out/],
    [["--method", "gate", "--density", "0.3"], 2, /expected 1\/3 to 1, got 0.3/],
    [["--density", "1.5"], 2, /Expected a number from 0 to 1/],
    [["--density", "0.0008"], 2, /density: out of range/],
  ])("refuses %o", async (flags, code, message) => {
    const out = path.join(folder, "refused");
    const result = await skim(["compress", "dip", "--model", model, "--out", out, ...flags]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
    expect(await readdir(folder)).not.toContain("refused");
  });
});
