/**
 * The commands over columns on disk, as processes: the same tokens as in memory at two budgets, memory within the budget,
 * an abort in time, nothing broken by a kill. The model is large enough that memory would show if it were loaded whole.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, openColumnStore } from "../../src/index.ts";
import { skim } from "./skim-process.ts";

/** What `skim ...args` prints; throws with what it says where it fails. */
async function printed(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await skim(args);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** 201 MB of feed-forward columns beside 34 MB of attention. */
const SHAPE = "d=1024,ff=8192,layers=8,heads=8,kv=8,vocab=512";
const BUDGETS = ["160MB", "200MB"] as const;
/** Of the process beside the budget: the runtime with its compiler. */
const OVERHEAD_BYTES = 150e6;

let folder: string;
let model: string;
let columns: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-offload-"));
  model = path.join(folder, "model.gguf");
  columns = path.join(folder, "model.columns");
  await printed("synth", "--shape", SHAPE, "--format", "q8_0", "--out", model);
  await printed("compress", "columns", "--model", model, "--out", columns);
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

const RUN = [
  "--raw",
  "--prompt",
  "hello",
  "--temperature",
  "0",
  "--max-tokens",
  "6",
  "--context",
  "64",
  "--json",
];
const generate = async (...flags: readonly string[]) =>
  JSON.parse(await printed("run", "-m", model, ...RUN, ...flags));

describe("skim run --columns", () => {
  test("gives the tokens of the model in memory, within the budget", async () => {
    const expected = await generate("--density", "0.5");
    for (const budget of BUDGETS) {
      const { tokenIds, columns: fetched } = await generate(
        ...["--density", "0.5", "--columns", columns, "--memory-budget", budget],
      );
      expect(tokenIds).toEqual(expected.tokenIds);
      expect(fetched.file.bytesPerToken).toBeGreaterThan(1e6);
      expect(fetched.file.peakMemoryBytes).toBeLessThan(Number.parseInt(budget, 10) * 1e6 + OVERHEAD_BYTES);
    }
  });

  test("run, eval and bench take the same flags, with columns in a file and in memory", async () => {
    const [tiny, tinyColumns] = [path.join(folder, "tiny.gguf"), path.join(folder, "tiny.columns")];
    const shape = "d=64,ff=256,layers=2,heads=2,kv=2,vocab=512";
    await printed("synth", "--shape", shape, "--format", "q8_0", "--out", tiny);
    await printed("compress", "columns", "--model", tiny, "--out", tinyColumns);
    const text = path.join(folder, "text.txt");
    await writeFile(text, "once upon a time there was a text that nobody wanted to read");
    const memory = ["--density", "0.5", "--gamma", "0.3", "--cache-policy", "lru"];
    const file = [...memory, "--columns", tinyColumns, "--memory-budget", "90MB"];
    const evaluate = ["eval", "perplexity", "--protocol", "hf", "--context", "16", "--text", text];
    const bench = ["bench", "--prompt-tokens", "4", "--generated-tokens", "3", "--repetitions", "1"];
    for (const command of [
      ["run", ...RUN],
      [...evaluate, "--json"],
      [...bench, "--json"],
    ]) {
      const inMemory = JSON.parse(await printed(...command, "-m", tiny, ...memory)).columns;
      expect(inMemory).toMatchObject({ gamma: 0.3, policy: "lru", share: 0.5 });
      expect(inMemory.hitRate).toBeGreaterThan(0.3);
      const fetched = JSON.parse(await printed(...command, "-m", tiny, ...file)).columns;
      expect(fetched).toMatchObject({ gamma: 0.3, policy: "lru" });
      expect(fetched.hitRate).toBeGreaterThan(0);
      expect(fetched.file.bytesPerToken).toBeGreaterThan(0);
    }
  }, 120_000);

  test("gamma 1 gives the tokens of plain choices and says what a cache would have held", async () => {
    const plain = await generate("--density", "0.5");
    const { tokenIds, columns: cached } = await generate("--density", "0.5", "--cache-share", "0.25");
    expect(tokenIds).toEqual(plain.tokenIds);
    expect(cached).toMatchObject({ gamma: 1, policy: "lfu", share: 0.25 });
    expect(cached.hitRate).toBeGreaterThan(0.05);
  });

  test("says what is wrong with flags in one line", async () => {
    for (const [flags, message] of [
      [["--columns", columns, "--density", "0.5"], /--columns needs --memory-budget/],
      [["--gamma", "0.5"], /gamma: the model has no columns to choose from/],
      [["--memory-budget", "1GB"], /--memory-budget means nothing without --columns/],
      [
        ["--columns", columns, "--memory-budget", "200MB", "--density", "0.5", "--cache-share", "0.5"],
        /--cache-share means nothing with --columns/,
      ],
      [["--columns", columns, "--memory-budget", "200MB"], /ask for a density/],
      [
        ["--columns", columns, "--memory-budget", "5MB", "--density", "1"],
        /must be in memory besides cached columns/,
      ],
      [["--columns", model, "--memory-budget", "200MB", "--density", "1"], /expected a column file/],
    ] as const) {
      const { code, stderr } = await skim(["run", "-m", model, ...RUN, ...flags]);
      expect(stderr).toMatch(message);
      expect(stderr.trim().split("\n")).toHaveLength(1);
      expect([1, 2]).toContain(code);
    }
  });
});

test("an abort stops prompt and decoding within 200 ms", async () => {
  const columnStore = await openColumnStore(columns, { budgetBytes: 170e6 });
  const loaded = await loadModel(model, {
    model: { density: 0.9, contextLength: 64 },
    engine: { columnStore },
  });
  await columnStore.close();
  try {
    for (const after of [5, 40, 400]) {
      const abort = new AbortController();
      let abortedAt = 0;
      setTimeout(() => {
        abortedAt = performance.now();
        abort.abort();
      }, after);
      const result = await loaded
        .generate("once upon a time", { maxTokens: 60, signal: abort.signal })
        .result();
      expect(result.finishReason).toBe("aborted");
      expect(performance.now() - abortedAt).toBeLessThan(200);
    }
  } finally {
    await loaded.dispose();
  }
});

test("killed while it writes or runs, nothing half-written is left under the name and the next run works", async () => {
  const target = path.join(folder, "killed.columns");
  await skim(["compress", "columns", "--model", model, "--out", target], { killAfter: 400 });
  expect(existsSync(target)).toBe(false);
  await printed("compress", "columns", "--model", model, "--out", target);
  const flags = ["--density", "0.5", "--columns", columns, "--memory-budget", "160MB"];
  const before = await generate(...flags);
  await skim(["run", "-m", model, ...RUN, ...flags], { killAfter: 500 });
  expect((await generate(...flags)).tokenIds).toEqual(before.tokenIds);
});
