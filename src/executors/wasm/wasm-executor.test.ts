/**
 * The wasm executor's life outside of arithmetic, with real workers: aborts, disposal, dying
 * workers, memory that does not suffice, files that fail, bandwidth. What it computes is tested in
 * test/parity and test/golden.
 */
import { describe, expect, test } from "vitest";
import { OptionError, ResourceError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { CaseBuilder, statelessSteps, tokenBuffer } from "../../kernels/case-builder.ts";
import type { KernelCase } from "../../kernels/kernel-case.ts";
import { scaledBlocks } from "../../kernels/linear/stored-blocks.ts";
import { tenderAttentionCases } from "../../kernels/tender-attention/cases.ts";
import { nodePlatform } from "../../platform/node.ts";
import type { Platform, WorkerHandle } from "../../platform/types.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import { caseFile } from "../case-runner.ts";
import type { ExecutorOptions, Step } from "../executor.ts";
import { createWasmExecutor, type WasmExecutor } from "./wasm-executor.ts";

/** x [T, columns] times one matrix [rows, columns] of 8-bit blocks. */
function oneLinear(rows: number, columns: number): KernelCase {
  const builder = new CaseBuilder(`one linear [${rows}, ${columns}]`);
  const x = builder.input("x", builder.random("x", 8 * columns), columns);
  const row = scaledBlocks(q8_0, columns / q8_0.blockSize, 0x1400);
  const bytes = new Uint8Array(rows * row.length);
  for (let start = 0; start < bytes.length; start += row.length) bytes.set(row, start);
  const weight = builder.storedMatrix("weight", rows, columns, q8_0, bytes);
  const out = tokenBuffer("out", rows);
  builder.test({ kind: "linear", x, weight, bias: undefined, out });
  const kernel = { decode: "linear_q8_i16_row", batch: "linear_q8_i16_tile" };
  return builder.finish(out, { kernel, bound: 1e-3, steps: statelessSteps() });
}

const SMALL = oneLinear(64, 64);
/** 15 billion multiply-adds for 448 tokens: about a second on one thread, in a single op. */
const LARGE = oneLinear(8192, 4096);
const LARGE_TOKENS = 448;

type Changes = Partial<ExecutorOptions> & { readonly platform?: Platform; readonly file?: ModelFile };

function create(kernelCase: KernelCase, changes: Changes = {}): Promise<WasmExecutor> {
  const { platform = nodePlatform(), file = caseFile(kernelCase), ...options } = changes;
  return createWasmExecutor(platform, kernelCase.program, file, {
    threads: 1,
    limits: { contextLength: 512, slots: 1, stepTokens: LARGE_TOKENS },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
    ...options,
  });
}

/** `count` tokens, the last of which wants logits. */
function stepOf(count: number): Step {
  return {
    tokens: Int32Array.from({ length: count }, (_, row) => row % 8),
    positions: Int32Array.from({ length: count }, (_, row) => row),
    slots: new Int32Array(count),
    outputs: Int32Array.of(count - 1),
  };
}

/** A platform whose workers of one role are changed as they start. */
function platformWith(role: "engine" | "thread", change: (worker: WorkerHandle) => WorkerHandle): Platform {
  const platform = nodePlatform();
  return {
    ...platform,
    startWorker: (started) =>
      started === role ? change(platform.startWorker(started)) : platform.startWorker(started),
  };
}

describe.each([1, 2, 4])("aborting a step on %i threads", (threads) => {
  // Again where something else held the processor at that moment.
  test("takes less than 200 ms and leaves the executor whole", { retry: 3 }, async () => {
    const executor = await create(LARGE, { threads });
    try {
      const before = (await executor.step(stepOf(1))).slice();
      const controller = new AbortController();
      let aborted = Number.POSITIVE_INFINITY;
      setTimeout(() => {
        aborted = performance.now();
        controller.abort(new Error("enough"));
      }, 60);
      await expect(executor.step(stepOf(LARGE_TOKENS), controller.signal)).rejects.toThrow("enough");
      expect(performance.now() - aborted).toBeLessThan(200);
      expect(await executor.step(stepOf(1))).toEqual(before);
      expect((await executor.step(stepOf(9))).length).toBe(8192);
      await expect(executor.step(stepOf(1), AbortSignal.abort(new Error("early")))).rejects.toThrow("early");
    } finally {
      await executor.dispose();
    }
  });
});

describe("disposal", () => {
  test("twice is once; a step after it is refused", async () => {
    const executor = await create(SMALL, { threads: 2 });
    await executor.step(stepOf(3));
    await executor.dispose();
    await executor.dispose();
    await expect(executor.step(stepOf(1))).rejects.toThrow(ResourceError);
    await expect(executor.measureBandwidth()).rejects.toThrow("used after dispose");
  });

  test("while a step runs rejects that step", async () => {
    const executor = await create(LARGE, { threads: 2 });
    const step = executor.step(stepOf(LARGE_TOKENS));
    const outcome = expect(step).rejects.toThrow(ResourceError);
    await executor.dispose();
    await outcome;
  });
});

test("a second step at the same time is a bug that is named", async () => {
  const executor = await create(SMALL);
  const first = executor.step(stepOf(2));
  await expect(executor.step(stepOf(1))).rejects.toThrow("a step is already running");
  expect((await first).length).toBe(64);
  await executor.dispose();
});

describe("a dying worker", () => {
  test("of a helper thread rejects the step that waits for it, and all later ones", async () => {
    let die = () => {};
    const platform = platformWith("thread", (worker) => ({
      ...worker,
      // The helper never attaches, so the step waits for it; without a module it then throws and exits.
      postMessage: () => {
        die = () => worker.postMessage({});
      },
    }));
    const executor = await create(SMALL, { threads: 2, platform });
    const step = executor.step(stepOf(2));
    die();
    await expect(step).rejects.toThrow(ResourceError);
    await expect(executor.step(stepOf(2))).rejects.toThrow(/^engine worker: /);
    await executor.dispose();
  });

  test("of the engine fails its creation and ends the helper threads", async () => {
    const whole = platformWith("engine", (worker) => ({
      ...worker,
      postMessage: () => worker.postMessage({ memory: 1 }),
    }));
    const terminated: string[] = [];
    const platform: Platform = {
      ...whole,
      startWorker(role) {
        const worker = whole.startWorker(role);
        const terminate = () => {
          terminated.push(role);
          return worker.terminate();
        };
        return { ...worker, terminate };
      },
    };
    await expect(create(SMALL, { threads: 3, platform })).rejects.toThrow(ResourceError);
    expect(terminated.sort()).toEqual(["engine", "thread", "thread"]);
  });
});

describe("what does not work out is said in one line", () => {
  test("more memory than 32-bit addresses reach", async () => {
    const attention = new CaseBuilder("cache");
    const x = attention.input("x", attention.random("x", 8 * 64), 64);
    const cache = { name: "cache", kvHeads: 1, headWidth: 64 };
    const out = tokenBuffer("out", 64);
    attention.push({ kind: "storeKeyValue", key: x, value: x, cache });
    attention.test({ kind: "attention", query: x, cache, out, heads: 1, scale: 1, window: undefined });
    const kernel = { decode: "attention_f32", batch: "attention_f32" };
    const kernelCase = attention.finish(out, { kernel, bound: 1, steps: statelessSteps() });
    const limits = { contextLength: 1 << 20, slots: 64, stepTokens: 8 };
    const outcome = create(kernelCase, { limits });
    await expect(outcome).rejects.toThrow(ResourceError);
    await expect(outcome).rejects.toThrow("keys and values (32.00 GiB) do not fit the 4 GiB");
  });

  test("no threads at all", async () => {
    await expect(create(SMALL, { threads: 0 })).rejects.toThrow(OptionError);
    await expect(create(SMALL, { threads: 1.5 })).rejects.toThrow("threads: expected a whole number");
  });

  test("a file that cannot be read while loading, which ends the workers", async () => {
    const terminated: string[] = [];
    const platform = platformWith("engine", (worker) => ({
      ...worker,
      async terminate() {
        terminated.push("engine");
        await worker.terminate();
      },
    }));
    const file: ModelFile = {
      ...caseFile(SMALL),
      readRows: () => Promise.reject(new ResourceError("disk: gone")),
    };
    await expect(create(SMALL, { platform, file })).rejects.toThrow("disk: gone");
    expect(terminated).toEqual(["engine"]);
  });

  test("kernels that were not built", async () => {
    const platform = {
      ...nodePlatform(),
      loadKernels: () => Promise.reject(new ResourceError("no kernels")),
    };
    await expect(create(SMALL, { platform })).rejects.toThrow("no kernels");
  });
});

test("bandwidth is that of a memory, and facts are reported", async () => {
  const progress: number[] = [];
  const executor = await create(LARGE, {
    threads: 2,
    simd: "plain",
    onProgress: (loaded, total) => progress.push(loaded / total),
  });
  const gigabytesPerSecond = await executor.measureBandwidth();
  expect(gigabytesPerSecond).toBeGreaterThan(0.5);
  expect(gigabytesPerSecond).toBeLessThan(5000);
  expect(executor.simd).toBe("plain");
  expect(executor.threads).toBe(2);
  // 8.5 bits per weight, the f32 table of inputs, everything rounded up to cache lines.
  expect(executor.weightBytes).toBeGreaterThan(8192 * 4096 * (34 / 32));
  expect(executor.weightBytes).toBeLessThan(8192 * 4096 * (34 / 32) + 8 * 4096 * 4 + 1024);
  expect(progress.at(-1)).toBeCloseTo(1, 3);
  expect((await executor.step(stepOf(2))).length).toBe(8192);
  await executor.dispose();
});

test("attention of integer codes refuses a cache of bytes", async () => {
  const [quantized] = tenderAttentionCases();
  await expect(create(quantized, { keyValueFormat: "q8" })).rejects.toThrow(/got q8 - choose f16$/);
});
