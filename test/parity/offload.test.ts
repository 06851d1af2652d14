/**
 * Columns from a file against columns in memory: the same tokens bit for bit where nothing may differ (gamma 1, any budget,
 * policy, thread count; prompts; all columns chosen), the same choices as an oracle where gamma prefers cached columns, and
 * clear errors where the file fails under the run. The feed-forward width 160 leaves columns padded to 512 bytes.
 */
import { mkdtemp, open, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { GgufModelFile } from "../../src/formats/model-file.ts";
import { type ColumnRecipe, freeRecipe } from "../../src/methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../../src/methods/dynamic-input-pruning/rewrite.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../src/models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../src/models/synthetic/shape.ts";
import { writeColumnFile } from "../../src/offload/column-writer.ts";
import { type ColumnStoreOptions, openColumnStore } from "../../src/offload/file-column-store.ts";
import { createFileSink, nodePlatform } from "../../src/platform/node.ts";
import type { Platform, WorkerHandle } from "../../src/platform/types.ts";
import type { Selection } from "../../src/program/column-ops.ts";
import type { Op, Program } from "../../src/program/program.ts";
import { lastRowStep, runBehindPrompt } from "./sequence-runs.ts";

const OPTIONS: ExecutorOptions = {
  threads: 2,
  limits: { contextLength: 32, slots: 1, stepTokens: 16 },
  keyValueFormat: "f32",
  weightFormat: "q8",
  simd: "auto",
  onProgress: undefined,
};
const AMPLE = 150e6;
/** Beyond the floor: 40 slots of 64 input columns, 20 of 160 GLU columns, in each of 2 layers. */
const FEW = 2 * (40 + 20) * 512 + 1024;

const PROMPT = [1, 300, 17, 42, 260];
const GENERATED = [5, 311, 299, 7, 12, 80, 5, 311];

let folder: string;
let columns: string;
let file: GgufModelFile;
let dense: Program;
/** Bytes that are needed with no slots at all; found by asking for too few. */
let floor: number;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "skim-offload-"));
  columns = path.join(folder, "tiny.columns");
  file = await openSyntheticGguf(
    createSyntheticCheckpoint("llama", syntheticShape("llama", { biases: true }), 5),
  );
  dense = await buildProgram(file);
  await writeColumnFile(file, dense, await createFileSink(columns));
  const refusal = await offloaded(rewriteColumns(dense, freeRecipe(1, 1)), { budgetBytes: 1 }).catch(String);
  floor = Number(/memory budget: (\d+) bytes/.exec(String(refusal))?.[1]);
  expect(floor).toBeGreaterThan(16e6);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function offloaded(
  program: Program,
  options: ColumnStoreOptions,
  executor: Partial<ExecutorOptions> = {},
  source = columns,
  platform = nodePlatform(),
) {
  const columnStore = await openColumnStore(platform, source, options);
  try {
    return await createWasmExecutor(platform, program, file, { ...OPTIONS, ...executor, columnStore });
  } finally {
    await columnStore.close();
  }
}

const decode = (executor: Executor, prompt = PROMPT) => runBehindPrompt(executor, prompt, GENERATED);

async function inMemory(program: Program): Promise<Float32Array[]> {
  const executor = await createWasmExecutor(nodePlatform(), program, file, OPTIONS);
  const logits = await decode(executor);
  await executor.dispose();
  return logits;
}

const SPARSE = freeRecipe(0.5, 0.3);
const THRESHOLDS: ColumnRecipe = {
  method: "dynamic-input-pruning",
  version: 1,
  input: { kind: "thresholds", thresholds: [0.4, 0.7] },
  glu: { kind: "thresholds", thresholds: [0.05, 0] },
};

describe("gamma 1 equals columns in memory bit for bit", () => {
  for (const [what, recipe] of [
    ["pruned", SPARSE],
    ["all columns", freeRecipe(1, 1)],
    ["GLU alone", freeRecipe(undefined, 0.25)],
    ["nothing chosen", freeRecipe(0, 0)],
    ["thresholds", THRESHOLDS],
  ] as const) {
    test.each(["none", "lru", "lfu"] as const)(
      `${what}, policy %s, slots for some columns and for all`,
      async (policy) => {
        const program = rewriteColumns(dense, recipe);
        const expected = await inMemory(program);
        for (const budgetBytes of [floor + FEW, AMPLE]) {
          const executor = await offloaded(program, { budgetBytes, policy });
          expect(await decode(executor)).toEqual(expected);
          // A second sequence, with a cache that is not empty.
          expect(await decode(executor)).toEqual(expected);
          await executor.dispose();
        }
      },
    );
  }

  test.each([1, 3])("columns of 4 bits, %d threads", async (threads) => {
    const nibbles = path.join(folder, "nibbles.columns");
    await writeColumnFile(file, dense, await createFileSink(nibbles), { storage: "q4" });
    for (const recipe of [SPARSE, freeRecipe(1, 1), THRESHOLDS]) {
      const program = rewriteColumns(dense, recipe);
      const kept: Partial<ExecutorOptions> = { threads, weightFormat: "q4" };
      const inside = await createWasmExecutor(nodePlatform(), program, file, { ...OPTIONS, ...kept });
      const expected = await decode(inside);
      const read = inside.columnBytesRead();
      await inside.dispose();
      for (const policy of ["none", "lfu"] as const) {
        const executor = await offloaded(program, { budgetBytes: AMPLE, policy }, kept, nibbles);
        expect(await decode(executor)).toEqual(expected);
        expect(executor.columnBytesRead()).toBe(read);
        await executor.dispose();
      }
    }
  });

  test.each([1, 3])("%d threads, one reader and several", async (threads) => {
    const program = rewriteColumns(dense, SPARSE);
    const expected = await inMemory(program);
    for (const readers of [1, 3, 8]) {
      const executor = await offloaded(program, { budgetBytes: AMPLE, readers }, { threads });
      expect(await decode(executor)).toEqual(expected);
      await executor.dispose();
    }
  });
});

describe("reading ahead", () => {
  test.each([
    ["pruned", SPARSE],
    ["all columns", freeRecipe(1, 1)],
    ["GLU alone", freeRecipe(undefined, 0.25)],
  ] as const)("%s: changes no result and no choice, only when columns are read", async (what, recipe) => {
    const program = rewriteColumns(dense, recipe);
    const run = async (readAhead: boolean, gamma: number) => {
      const executor = await offloaded(program, { budgetBytes: floor + FEW, gamma, readAhead });
      const logits = [...(await decode(executor)), ...(await decode(executor))];
      const counts = executor.fetchCounts();
      await executor.dispose();
      if (counts === undefined) throw new Error("expected counts");
      return { logits, counts };
    };
    for (const gamma of [1, 0.2]) {
      const [ahead, plain] = [await run(true, gamma), await run(false, gamma)];
      expect(ahead.logits).toEqual(plain.logits);
      expect(ahead.counts.hits).toBe(plain.counts.hits);
      expect(plain.counts.aheadBytes).toBe(0);
      const { aheadBytes, aheadUsedBytes } = ahead.counts;
      expect(aheadUsedBytes).toBeLessThanOrEqual(aheadBytes);
      // A choice for down alone has one area for all layers: nothing can be read while it is in use.
      if (what === "GLU alone") expect(aheadBytes).toBe(0);
      else expect(aheadBytes).toBeGreaterThan(0);
      // Known for certain: all but the first op of each step, and nothing in vain but the last token's.
      if (what === "all columns") expect(aheadUsedBytes).toBeGreaterThan(0.5 * plain.counts.generationBytes);
    }
  });
});

describe("what is read", () => {
  test("with room for all, every column is read once; with none, at every use", async () => {
    const program = rewriteColumns(dense, SPARSE);
    // 2 layers: 32 of 64 input columns of 512 bytes (2 x 160 padded), 48 of 160 GLU columns of 512 (64 padded).
    const perToken = 2 * (32 + 48);
    const all = 2 * (64 + 160) * 512;
    for (const policy of ["none", "lru"] as const) {
      const executor = await offloaded(program, { budgetBytes: AMPLE, policy });
      await decode(executor);
      const counts = executor.fetchCounts();
      expect(counts?.chosen).toBe(GENERATED.length * perToken);
      expect(counts?.promptBytes).toBe(all);
      // Columns of so small a model lie close: gaps between missing ones are read with them.
      expect(counts?.generationBytes).toBeGreaterThanOrEqual(
        ((counts?.chosen ?? 0) - (counts?.hits ?? 0)) * 512,
      );
      if (policy === "none") expect(counts?.hits).toBe(0);
      else {
        // The last two tokens repeat the first two.
        expect(counts?.hits).toBeGreaterThan(2 * perToken);
        expect(counts?.generationBytes).toBeLessThan(GENERATED.length * all);
      }
      await executor.dispose();
    }
  });

  test("a smaller gamma reads less, and a prompt gives the same logits whenever it is asked", async () => {
    const program = rewriteColumns(dense, SPARSE);
    const misses: number[] = [];
    for (const gamma of [1, 0.5, 0.2, 0]) {
      const executor = await offloaded(program, { budgetBytes: floor + FEW, policy: "lru", gamma });
      const first = await decode(executor);
      const counts = executor.fetchCounts();
      misses.push((counts?.chosen ?? Number.NaN) - (counts?.hits ?? 0));
      await decode(executor, [3, 99]);
      expect(await decode(executor)).toEqual(first);
      await executor.dispose();
    }
    expect(misses).toEqual(misses.toSorted((a, b) => b - a));
    expect(misses[3]).toBeLessThan(0.7 * misses[0]);
  });

  test("choices by open gates, which readers cannot repeat, are refused", async () => {
    const chosen = rewriteColumns(dense, freeRecipe(undefined, 0.25));
    const open = (selection: Selection): Selection => ({
      ...selection,
      rule: { kind: "gate", threshold: 0, share: 1 },
    });
    const ops = chosen.ops.map((op): Op => {
      if (op.kind === "selectColumns") return { ...op, out: open(op.out) };
      return op.kind === "linearColumns" ? { ...op, selection: open(op.selection) } : op;
    });
    const store = offloaded({ ...chosen, ops }, { budgetBytes: AMPLE });
    await expect(store).rejects.toThrow(/chosen by something else than what they multiply/);
  });

  test("gamma below 1 with several sequences is refused", async () => {
    const limits = { ...OPTIONS.limits, slots: 2 };
    await expect(
      offloaded(rewriteColumns(dense, SPARSE), { budgetBytes: AMPLE, gamma: 0.5 }, { limits }),
    ).rejects.toThrow(/gamma: expected 1 with 2 sequences/);
  });
});

describe("failures are errors, never text", () => {
  test("a file changed under the run", async () => {
    const copy = await copyColumns("changed");
    const executor = await offloaded(rewriteColumns(dense, SPARSE), { budgetBytes: AMPLE }, {}, copy);
    await executor.step(lastRowStep(PROMPT, 0, true));
    await utimes(copy, 1, 1);
    await expect(executor.step(lastRowStep([5], PROMPT.length))).rejects.toThrow(
      /changed while it was in use/,
    );
    await expect(executor.step(lastRowStep([5], PROMPT.length))).rejects.toThrow(
      /changed while it was in use/,
    );
    await executor.dispose();
  });

  test("a file cut off under the run", async () => {
    const copy = await copyColumns("cut");
    const executor = await offloaded(rewriteColumns(dense, SPARSE), { budgetBytes: AMPLE }, {}, copy);
    await truncate(copy, 8192);
    await expect(executor.step(lastRowStep(PROMPT, 0, true))).rejects.toThrow(
      /expected \d+ - was the file changed\?/,
    );
    await executor.dispose();
  });

  test("a reader that dies between two requests", { timeout: 20_000 }, async () => {
    const { platform, die } = platformWithMortalReader();
    const program = rewriteColumns(dense, SPARSE);
    const executor = await offloaded(program, { budgetBytes: AMPLE }, {}, columns, platform);
    await executor.step(lastRowStep(PROMPT, 0, true));
    await die();
    await expect(executor.step(lastRowStep([5], PROMPT.length))).rejects.toThrow("column reader: gone");
    await expect(executor.step(lastRowStep([5], PROMPT.length))).rejects.toThrow("column reader: gone");
    await executor.dispose();
  });

  test("a file cut off before the run, another model's file, no column file at all", async () => {
    const copy = await copyColumns("short");
    await truncate(copy, 20000);
    await expect(openColumnStore(nodePlatform(), copy, { budgetBytes: AMPLE })).rejects.toThrow(
      /it was cut off/,
    );
    const other = path.join(folder, "other.columns");
    const otherModel = await openSyntheticGguf(
      createSyntheticCheckpoint("llama", syntheticShape("llama", { biases: true }), 6),
    );
    await writeColumnFile(otherModel, await buildProgram(otherModel), await createFileSink(other));
    await expect(offloaded(rewriteColumns(dense, SPARSE), { budgetBytes: AMPLE }, {}, other)).rejects.toThrow(
      /made from another model/,
    );
    await writeFile(copy, "GGUF is something else altogether");
    await expect(openColumnStore(nodePlatform(), copy, { budgetBytes: AMPLE })).rejects.toThrow(
      /expected a column file/,
    );
  });

  test("a budget below what must be in memory", async () => {
    await expect(offloaded(rewriteColumns(dense, SPARSE), { budgetBytes: 5e6 })).rejects.toThrow(
      /memory budget: \d+ bytes \(\d+ MB\) must be in memory besides cached columns, got 5000000/,
    );
  });

  test("an aborted step leaves nothing wrong behind", async () => {
    const program = rewriteColumns(dense, SPARSE);
    const expected = await inMemory(program);
    const executor = await offloaded(program, { budgetBytes: AMPLE, policy: "lru" });
    await executor.step(lastRowStep(PROMPT, 0, true));
    for (let i = 0; i < 20; i++) {
      const abort = new AbortController();
      const running = executor.step(lastRowStep([5], PROMPT.length), abort.signal);
      setTimeout(() => abort.abort(), i / 10);
      await running.catch(() => undefined);
    }
    expect(await decode(executor)).toEqual(expected);
    await executor.dispose();
  });
});

/**
 * A platform whose first reader, which coordinates, can be ended. It tells so when the next step has begun, before
 * the engine asks for columns.
 */
function platformWithMortalReader(): { readonly platform: Platform; readonly die: () => Promise<void> } {
  const whole = nodePlatform();
  let coordinator: WorkerHandle | undefined;
  let report: (error: Error) => void = () => {};
  let dead = false;
  const platform: Platform = {
    ...whole,
    startWorker(role) {
      const worker = whole.startWorker(role);
      if (role === "engine") {
        const postMessage = (message: unknown) => {
          if (dead) report(new Error("gone"));
          worker.postMessage(message);
        };
        return { ...worker, postMessage };
      }
      if (role !== "reader" || coordinator !== undefined) return worker;
      coordinator = worker;
      const onFailure = (listener: (error: Error) => void) => {
        report = listener;
      };
      return { ...worker, onFailure };
    },
  };
  const die = async () => {
    await coordinator?.terminate();
    dead = true;
  };
  return { platform, die };
}

async function copyColumns(name: string): Promise<string> {
  const target = path.join(folder, `${name}.columns`);
  const from = await open(columns);
  await writeFile(target, await from.readFile());
  await from.close();
  return target;
}
