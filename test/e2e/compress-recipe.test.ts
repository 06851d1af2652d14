/**
 * A recipe as a user runs it: every step measured, stopped and killed runs continued with nothing done twice, edited
 * recipes redone from the change, mistakes refused before any work.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const MODEL = path.resolve(import.meta.dirname, "..", "..", "models", "tales");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-recipe-"));
  const sentences = Array.from(
    { length: 120 },
    (_, i) => `The ${i}th day came, and the old man went to the sea.`,
  );
  await writeFile(path.join(folder, "text.txt"), sentences.join(" "));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const TUNE = {
  step: "tune",
  data: "text.txt",
  valid: "text.txt",
  evaluateEvery: 3,
  steps: 12,
  batch: 2,
  context: 64,
  checkpointEvery: 2,
  weights: "f16",
};
const DIP = { step: "dip", density: 0.6 };

async function writeRecipe(name: string, steps: readonly object[], rest: object = {}): Promise<string> {
  const file = path.join(folder, name);
  const evaluate = { text: "text.txt", characters: 2000, context: 64 };
  await writeFile(file, JSON.stringify({ version: 1, evaluate, steps, ...rest }));
  return file;
}

function compress(recipe: string, out: string, options: Parameters<typeof skim>[1] = {}) {
  return skim(["compress", "--recipe", recipe, "--model", MODEL, "--out", path.join(folder, out)], options);
}

async function digest(out: string): Promise<string> {
  const bytes = await readFile(path.join(folder, out, "model.safetensors"));
  return createHash("sha256").update(bytes).digest("hex");
}

it("does all steps, and continues to the same model after Ctrl-C and after a kill", async () => {
  const recipe = await writeRecipe("both.json", [TUNE, DIP]);
  const whole = await compress(recipe, "whole");
  expect(whole.code).toBe(0);
  expect(whole.stdout.split("\n").map((line) => line.split(" ")[0])).toEqual([
    "stage",
    "source",
    "1",
    "2",
    "",
  ]);
  const { stages } = JSON.parse(await readFile(path.join(folder, "whole", "compression.json"), "utf8"));
  expect(stages).toHaveLength(3);
  expect(stages[1].perplexity).toBeLessThan(stages[0].perplexity);
  expect(stages[2].bytesPerToken).toBeLessThan(0.85 * stages[1].bytesPerToken);
  expect(await readdir(path.join(folder, "whole"))).not.toContain("training.checkpoint");

  const stopped = await compress(recipe, "parts", { interruptOn: "step 3  validation" });
  expect(stopped.code).toBe(130);
  expect(stopped.stderr).toMatch(/the same command continues/);
  const killed = await compress(recipe, "parts", { killOn: "done after step 12" });
  expect(killed.code).toBe(null);
  expect(killed.stderr).toMatch(/parameters from step [3-9]/);
  const rest = await compress(recipe, "parts");
  expect(rest.code).toBe(0);
  expect(await digest("parts")).toBe(await digest("whole"));
  expect(await readdir(folder)).not.toContain("parts.partial");

  const again = await skim([
    ...["compress", "--recipe", recipe, "--model", MODEL, "--out", path.join(folder, "parts"), "--json"],
  ]);
  expect(again.code).toBe(0);
  expect(again.stderr).toMatch(/up to date/);
  const kept = JSON.parse(await readFile(path.join(folder, "parts", "compression.json"), "utf8"));
  expect(JSON.parse(again.stdout)).toEqual({ out: path.join(folder, "parts"), stages: kept.stages });
});

it("redoes an edited recipe from the step that changed", async () => {
  const first = await writeRecipe("edited.json", [DIP, { step: "tender", text: "none.txt", bits: 8 }]);
  const refused = await compress(first, "edited");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/none\.txt: cannot be read \(ENOENT\)/);
  expect(await readdir(folder)).not.toContain("edited.partial");

  await writeRecipe("edited.json", [DIP, { step: "dip", density: 0.5 }]);
  const failed = await compress(first, "edited");
  expect(failed.code).toBe(1);
  expect(failed.stderr).toMatch(/no place for a choice of columns/);
  expect(failed.stderr).toMatch(/1 of 2 steps are kept/);
  await writeRecipe("edited.json", [DIP, { step: "input-groups", size: 32 }]);
  const done = await compress(first, "edited");
  expect(done.code).toBe(0);
  expect(done.stderr).not.toMatch(/feed-forward weights/);
  expect(done.stderr).toMatch(/groups of 32/);
});

it("refuses what no recipe can mean", async () => {
  const wrong = await writeRecipe("wrong.json", [{ step: "dip", density: 3 }]);
  const refused = await compress(wrong, "wrong");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/wrong\.json: steps\[0\]\.density: /);
  expect((await skim(["compress"])).code).toBe(2);
  expect(await readdir(folder)).not.toContain("wrong.partial");
});

it("says that the folder cannot be made", async () => {
  const recipe = await writeRecipe("nowhere.json", [DIP]);
  const refused = await compress(recipe, "text.txt/nowhere");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/nowhere\.partial: cannot be created \(ENOTDIR\) - check --out/);
});

it("does not take a folder for its own whose report is damaged", async () => {
  const recipe = await writeRecipe("damaged.json", [DIP]);
  const out = path.join(folder, "damaged");
  await mkdir(out);
  await writeFile(path.join(out, "compression.json"), '{"key": "');
  const refused = await compress(recipe, "damaged");
  expect(refused.stderr).toMatch(/damaged: exists already, expected a new folder - choose another name/);
  expect(refused.code).toBe(1);
});
