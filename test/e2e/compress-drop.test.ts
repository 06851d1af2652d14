/**
 * Dropping layers as a user does it: the folder runs, is inspected and scored; what was dropped is not in it; a recipe does
 * the same; mistakes get one line.
 */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { dataPath, describeWithData } from "../shared-data.ts";
import { skim } from "./skim-process.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-drop-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describeWithData("dropping layers", () => {
  const model = dataPath("models/stories260K/stories260K.gguf");
  const drop = (flags: readonly string[], from = model) =>
    skim(["compress", "drop", "--model", from, ...flags]);

  it("writes a smaller folder that runs, scores and is inspected", async () => {
    const out = path.join(folder, "trimmed");
    const made = await drop(["--layers", "2", "--sublayers", "3.attention", "--out", out, "--json"]);
    expect(made.stderr).toBe("");
    const report = JSON.parse(made.stdout);
    expect(report.dropped).toEqual(["2.attention", "2.mlp", "3.attention"]);
    // Width 64, 8 heads, 4 key/value heads of 8: 5 layers keep 64 values each, 3 are left.
    expect(report.keyValueBytesPerPosition).toEqual({ before: 640, after: 384 });
    const attention = 64 + 2 * 64 * 64 + 2 * 32 * 64;
    const mlp = 64 + 3 * 64 * 172;
    const { before, after } = report.tensorBytes;
    expect(before - after).toBe(4 * (2 * attention + mlp));
    expect((await stat(path.join(out, "model.safetensors"))).size).toBeLessThan(after + 8192);

    const inspected = JSON.parse((await skim(["inspect", "--model", out, "--json"])).stdout);
    const ops: { text: string }[] = inspected.program.ops;
    expect(inspected.tensorBytes).toBe(after);
    expect(inspected.recipes).toEqual(["trimllm without 2.attention, 2.mlp, 3.attention"]);
    expect(ops.filter(({ text }) => text.includes("attention("))).toHaveLength(3);

    const text = dataPath("reference/stories260K/text_a.txt");
    const score = async (scored: string) => {
      const flags = ["--text", text, "--protocol", "document", "--threads", "1", "--json"];
      return JSON.parse((await skim(["eval", "perplexity", "--model", scored, ...flags])).stdout).meanNll;
    };
    expect(await score(model)).toBeCloseTo(1.316, 2);
    expect(await score(out)).toBeGreaterThan(1.5);
    const run = [
      "run",
      "--model",
      out,
      "--raw",
      "--prompt",
      "Once upon",
      "--max-tokens",
      "5",
      "--temperature",
      "0",
    ];
    expect((await skim(run)).code).toBe(0);
    const benched = await skim([
      "bench",
      "--model",
      out,
      "--generated-tokens",
      "8",
      "--prompt-tokens",
      "8",
      "--repetitions",
      "1",
      "--json",
    ]);
    expect(benched.code, benched.stderr).toBe(0);

    const further = path.join(folder, "further");
    const again = await drop(["--layers", "3", "--out", further, "--json"], out);
    expect(JSON.parse(again.stdout).dropped).toEqual(["2.attention", "2.mlp", "3.attention", "3.mlp"]);
    const { skim: section } = JSON.parse(await readFile(path.join(further, "config.json"), "utf8"));
    expect(section.recipes).toHaveLength(1);
    expect(section.recipes[0].origin.base).toMatch(/^[0-9a-f]{64}$/);
  });

  it("merges layers instead", async () => {
    const out = path.join(folder, "merged");
    const made = await drop(["--layers", "2", "--merge-into", "1", "--out", out, "--json"]);
    expect(made.code, made.stderr).toBe(0);
    expect(JSON.parse(made.stdout).dropped).toEqual(["2.attention", "2.mlp"]);
    const run = await skim(["run", "--model", out, "--raw", "--prompt", "Once", "--max-tokens", "3"]);
    expect(run.code, run.stderr).toBe(0);
  });

  it("is a step of recipes", async () => {
    const recipe = path.join(folder, "recipe.json");
    const steps = [
      { step: "drop", sublayers: ["1.mlp", "2.mlp"] },
      { step: "dip", density: 0.8 },
    ];
    await writeFile(recipe, JSON.stringify({ version: 1, steps }));
    const out = path.join(folder, "from-recipe");
    const made = await skim(["compress", "--recipe", recipe, "--model", model, "--out", out]);
    expect(made.code).toBe(0);
    const { skim: section } = JSON.parse(await readFile(path.join(out, "config.json"), "utf8"));
    expect(section.recipes.map(({ method }: { method: string }) => method)).toEqual([
      "trimllm",
      "dynamic-input-pruning",
    ]);
  });

  it.each([
    [[], 2, /expected --layers, --sublayers or both/],
    [["--layers", "5"], 2, /--layers, expected some of 0, 1, 2, 3, 4, got 5/],
    [["--sublayers", "1.norm"], 2, /Expected names such as 3.attention/],
    [["--sublayers", "7.mlp"], 2, /has no sublayer 7.mlp/],
    [["--layers", "0,1,2,3,4"], 2, /at least one sublayer to be left/],
    [["--layers", "1", "--merge-into", "1"], 2, /another one than these/],
  ])("refuses %o", async (flags, code, message) => {
    const result = await drop([...flags, "--out", path.join(folder, "refused")]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
    expect(await readdir(folder)).not.toContain("refused");
  });
});
