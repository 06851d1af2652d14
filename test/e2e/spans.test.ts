/**
 * Attention spans as a user meets them: data from `skim data`, the embedded calc judged by `skim eval arithmetic`, its text
 * with and without statements.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataPath, describeWithData } from "../shared-data.ts";
import { skim } from "./skim-process.ts";

const CALC = path.resolve(import.meta.dirname, "..", "..", "models", "calc");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-spans-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const file = (name: string) => path.join(folder, name);

async function readLines(name: string): Promise<Record<string, unknown>[]> {
  return (await readFile(file(name), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("skim data arithmetic", () => {
  it("writes the same problems for the same seed", async () => {
    const flags = ["--levels", "1,2", "--count", "30", "--seed", "4", "--long"];
    for (const name of ["a.jsonl", "b.jsonl"]) {
      expect((await skim(["data", "arithmetic", ...flags, "--out", file(name)])).code).toBe(0);
    }
    expect(await readLines("a.jsonl")).toHaveLength(30);
    expect(await readFile(file("a.jsonl"))).toEqual(await readFile(file("b.jsonl")));
  });

  it("refuses levels that are not there", async () => {
    const { code, stderr } = await skim(["data", "arithmetic", "--levels", "6", "--out", file("c.jsonl")]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/--levels 6, expected 1 to 5/)]);
  });
});

describe("skim eval arithmetic", () => {
  it("finds calc right, following less than it could see", async () => {
    const flags = ["--levels", "1,2", "--count", "40", "--split", "test", "--seed", "9", "--long"];
    await skim(["data", "arithmetic", ...flags, "--out", file("test.jsonl")]);
    const { stdout } = await skim([
      "eval",
      "arithmetic",
      "--model",
      CALC,
      "--data",
      file("test.jsonl"),
      "--json",
    ]);
    const { levels } = JSON.parse(stdout);
    expect(levels).toHaveLength(2);
    for (const { problems, exact, statements, validStatements, all } of levels) {
      expect(exact / problems).toBeGreaterThanOrEqual(0.9);
      expect(validStatements / statements).toBeGreaterThan(0.99);
      expect(all.read).toBeLessThan(0.95 * all.inAll);
    }
  });

  it("says which line is no problem", async () => {
    await writeFile(file("bad.jsonl"), '{"prompt": "1+1\\n"}\n');
    const { code, stderr } = await skim(["eval", "arithmetic", "--model", CALC, "--data", file("bad.jsonl")]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/bad\.jsonl: line 1: answer: /)]);
  });
});

it("run shows the answer, and the statements where they are asked for", async () => {
  const args = ["run", "--model", CALC, "--raw", "--prompt", "Compute.\n5-(7-7)\n", "--temperature", "0"];
  const { stdout } = await skim([...args, "--json"]);
  const { text, spans } = JSON.parse(stdout);
  expect(text).toBe("7-7=0\n5-0=5\n5\n");
  expect(spans).toMatchObject({ statements: 3, valid: 3 });
  expect(spans.positionsRead).toBeLessThan(spans.positionsInAll);
});

describeWithData("skim data summaries", () => {
  it("annotates news", async () => {
    const articles = dataPath("text/news/cnndm_train_sample.jsonl");
    const { code, stdout } = await skim([
      ...["data", "summaries", "--articles", articles, "--out", file("news.jsonl"), "--json"],
    ]);
    expect(code).toBe(0);
    const { examples, statements, everything, references } = JSON.parse(stdout);
    expect(examples.train + examples.valid + examples.test).toBe(84);
    expect(statements - everything).toBeGreaterThan(290);
    expect(references / (statements - everything)).toBeCloseTo(2.13, 1);
    const [first] = await readLines("news.jsonl");
    expect(first).toMatchObject({
      instruction: "Summarise.\n",
      split: expect.stringMatching(/train|valid|test/),
    });
  });

  it("says what a line lacks", async () => {
    await writeFile(file("articles.jsonl"), '{"article": "A text."}\n');
    const { code, stderr } = await skim([
      "data",
      "summaries",
      "--articles",
      file("articles.jsonl"),
      "--out",
      file("x.jsonl"),
    ]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/line 1: summary: /)]);
  });
});
