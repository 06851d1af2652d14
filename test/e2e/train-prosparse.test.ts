/**
 * ProSparse as a user runs it: the penalty leaves more zeros than plain ReLU at equal tokens, a threshold is chosen and
 * written, a SiLU model has been turned into a ReLU model that every command loads as one.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { skim } from "./skim-process.ts";

const MODEL = path.resolve(import.meta.dirname, "..", "..", "models", "tales");
const FLAGS = [
  "--steps",
  "24",
  "--batch",
  "2",
  "--context",
  "64",
  "--learning-rate",
  "1e-3",
  "--threads",
  "2",
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-prosparse-"));
  const sentences = Array.from(
    { length: 200 },
    (_, i) =>
      `On day ${i} the ${["old", "young", "tall"][i % 3]} man went to the ${["sea", "town", "hill", "inn"][i % 4]}.`,
  );
  await writeFile(path.join(folder, "text.txt"), sentences.join(" "));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function trainSparse(out: string, ...flags: string[]) {
  const text = path.join(folder, "text.txt");
  const result = await skim([
    ...[
      "train",
      "prosparse",
      "--model",
      MODEL,
      "--data",
      text,
      "--valid",
      text,
      "--out",
      path.join(folder, out),
    ],
    ...[...FLAGS, "--search-characters", "2000", "--json", ...flags],
  ]);
  expect(result.stderr).toMatch(/done after step 24/);
  return JSON.parse(result.stdout) as {
    chosen: number;
    trials: { threshold: number; perplexity: number; sparsity: number; layers: number[] }[];
  };
}

it("raises sparsity over plain ReLU, and thresholds raise it further", async () => {
  const control = await trainSparse("control", "--peak", "0", "--thresholds", "0");
  const sparse = await trainSparse(
    "sparse",
    "--peak",
    "4",
    "--thresholds",
    "0,0.2,50",
    "--allowance",
    "0.05",
  );
  expect(sparse.trials[0].sparsity).toBeGreaterThan(control.trials[0].sparsity + 0.03);
  expect(sparse.trials[0].layers).toHaveLength(6);
  expect(sparse.trials[1].sparsity).toBeGreaterThan(sparse.trials[0].sparsity);
  // A threshold of 50 silences everything, which costs more than is allowed.
  expect(sparse.trials[2].sparsity).toBeGreaterThan(0.99);
  expect([0, 0.2]).toContain(sparse.chosen);
  const config = JSON.parse(await readFile(path.join(folder, "sparse", "config.json"), "utf8"));
  expect(config.hidden_act).toBe(sparse.chosen === 0 ? "relu" : "fatrelu");
  expect(config.hidden_act_param).toBe(sparse.chosen === 0 ? undefined : 0.2);
});

it("leaves plain ReLU when the search for a threshold fails", async () => {
  const [text, short, out] = ["text.txt", "short.txt", "failed"].map((name) => path.join(folder, name));
  await writeFile(short, "");
  const failed = await skim([
    ...["train", "prosparse", "--model", MODEL, "--data", text, "--valid", short, "--out", out],
    ...[...FLAGS, "--steps", "2", "--thresholds", "0.5,0.6"],
  ]);
  expect(failed.stderr).toMatch(/done after step 2/);
  expect(failed.code).not.toBe(0);
  const config = JSON.parse(await readFile(path.join(out, "config.json"), "utf8"));
  expect(config.hidden_act).toBe("relu");
  expect(config).not.toHaveProperty("hidden_act_param");
});

it("refuses to guess", async () => {
  const noModel = await skim(["train", "prosparse", "--data", "x.txt", "--out", path.join(folder, "none")]);
  expect(noModel.code).toBe(2);
  expect(noModel.stderr).toMatch(/expected --model/);
  const noData = await skim(["train", "prosparse", "--out", path.join(folder, "none")]);
  expect(noData.code).toBe(2);
  expect(noData.stderr).toMatch(/expected --data/);
  const files = ["--data", "x.txt", "--valid", "x.txt", "--out", path.join(folder, "none")];
  for (const flag of ["--evaluate-every", "--valid-tokens", "--patience"]) {
    const validating = await skim(["train", "prosparse", "--model", MODEL, ...files, flag, "3"]);
    expect(validating.code).toBe(2);
    expect(validating.stderr).toMatch(/--valid only chooses the threshold/);
  }
});
