/**
 * Sparsity as a user looks at it and uses it: several texts side by side, live neurons skipped exactly, predicted, and behind
 * chosen columns; what was not worth it is said.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const MODELS = path.resolve(import.meta.dirname, "..", "..", "models");
const CALC = path.join(MODELS, "calc");

let folder: string;
const at = (name: string) => path.join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-sparsity-"));
  const sums = Array.from({ length: 150 }, (_, i) => `${i}+${7 * i}=${8 * i}\n`);
  await writeFile(at("sums.txt"), sums.join(""));
  await writeFile(at("words.txt"), "The old man went down to the sea and found a ship there. ".repeat(30));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("eval sparsity: zeros per layer and per text", async () => {
  const texts = ["--text", at("sums.txt"), "--text", at("words.txt")];
  const table = await skim(["eval", "sparsity", "--model", CALC, ...texts, "--threads", "1"]);
  expect(table.code).toBe(0);
  expect(table.stdout.match(/^\| mean/gm)).toHaveLength(2);
  const { stdout } = await skim([
    ...["eval", "sparsity", "--model", CALC, ...texts, "--of", "gates", "--json", "--threads", "1"],
  ]);
  const { texts: reports } = JSON.parse(stdout) as { texts: { sparsity: number; layers: number[] }[] };
  expect(reports.map(({ layers }) => layers.length)).toEqual([6, 6]);
  for (const { sparsity } of reports) expect(Math.abs(sparsity - 0.5)).toBeLessThan(0.49);
  expect(reports[0].sparsity).not.toBe(reports[1].sparsity);

  const nothing = await skim(["eval", "sparsity", "--model", CALC]);
  expect(nothing.code).toBe(2);
  expect(nothing.stderr).toMatch(/--text/);
});

it("compress prosparse --predictor: figures per layer, and exact where predicting does not pay", {
  timeout: 120_000,
}, async () => {
  const flags = [
    "--text",
    at("sums.txt"),
    "--predictor",
    "--segments",
    "4",
    "--epochs",
    "2",
    "--threads",
    "1",
  ];
  const eager = await skim([
    ...[
      "compress",
      "prosparse",
      "--model",
      CALC,
      ...flags,
      "--most-live",
      "0",
      "--least-recall",
      "0",
      "--out",
      at("eager"),
      "--json",
    ],
  ]);
  expect(eager.code).toBe(0);
  const { layers } = JSON.parse(eager.stdout) as {
    layers: {
      mode: string;
      reads: number;
      predictor: { recall: number; predictedShare: number; rank: number };
    }[];
  };
  expect(layers).toHaveLength(6);
  const predicted = layers.filter(({ mode }) => mode === "predicted");
  expect(predicted.length).toBeGreaterThan(0);
  for (const { predictor } of layers) {
    expect(predictor.recall).toBeGreaterThan(0);
    expect(predictor.recall).toBeLessThanOrEqual(1);
    expect(predictor.rank).toBe(32);
  }
  const config = JSON.parse(await readFile(path.join(at("eager"), "config.json"), "utf8"));
  const recipe = config.skim.recipes.find(({ method }: { method: string }) => method === "prosparse");
  expect(recipe.layers.filter((layer: { predictor?: object }) => layer.predictor)).toHaveLength(
    predicted.length,
  );
  const run = await skim(["run", "--model", at("eager"), "--prompt", "Compute.\n1+2\n", "--max-tokens", "3"]);
  expect(run.code).toBe(0);

  const picky = await skim([
    ...["compress", "prosparse", "--model", CALC, ...flags, "--least-recall", "1", "--out", at("picky")],
  ]);
  expect(picky.code).toBe(0);
  expect(picky.stdout).toMatch(/\| mean/);
  expect(picky.stderr).toMatch(/predictor finds too few live neurons to be used: 0 \(/);
  const more = await skim([
    "compress",
    "drop",
    "--model",
    at("eager"),
    "--layers",
    "0",
    "--out",
    at("dropped"),
  ]);
  expect(more.code).toBe(0);
  const info = await skim([
    "run",
    "--model",
    at("dropped"),
    "--prompt",
    "Compute.\n1+2\n",
    "--max-tokens",
    "2",
  ]);
  expect(info.code).toBe(0);
});

it("columns and live neurons are made one after the other, in both orders", async () => {
  const compress = async (kind: "dip" | "prosparse", model: string, out: string) => {
    const own =
      kind === "dip" ? ["--density", "0.6"] : ["--text", at("sums.txt"), "--segments", "2", "--threads", "1"];
    const result = await skim(["compress", kind, "--model", model, ...own, "--out", at(out), "--json"]);
    expect(result.code).toBe(0);
    return JSON.parse(result.stdout) as { density?: number; feedForwardShare?: number };
  };
  await compress("dip", CALC, "dip");
  const behind = await compress("prosparse", at("dip"), "dip-neurons");
  await compress("prosparse", CALC, "neurons");
  const before = await compress("dip", at("neurons"), "neurons-dip");
  expect(behind.feedForwardShare).toBeLessThan(0.6);
  // Of all weights, not of those that the live neurons leave.
  expect(before.density).toBeLessThan(behind.feedForwardShare ?? 0);
  const again = await skim([
    "compress",
    "prosparse",
    "--model",
    at("dip-neurons"),
    "--text",
    at("sums.txt"),
    "--out",
    at("no"),
  ]);
  expect(again.code).toBe(1);
  expect(again.stderr).toMatch(/skip neurons once/);
});
