/**
 * The executor contract on the reference executor: steps of any split give the same logits, slots are
 * independent, bad steps are refused before anything is computed, aborts are seen, forced storages
 * change what they should.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { OptionError } from "../../errors.ts";
import type { GgufModelFile } from "../../formats/model-file.ts";
import { buildProgram } from "../../models/registry.ts";
import { createSyntheticCheckpoint, openSyntheticGguf } from "../../models/synthetic/checkpoint.ts";
import { syntheticShape } from "../../models/synthetic/shape.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import type { ExecutorOptions, Step } from "../executor.ts";
import { createReferenceExecutor } from "./reference-executor.ts";

const LIMITS = { contextLength: 32, slots: 2, stepTokens: 16 };
const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299];

let file: GgufModelFile;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
});

async function executor(options: Partial<ExecutorOptions> = {}, from = file) {
  return createReferenceExecutor(await buildProgram(from), from, {
    threads: 1,
    limits: LIMITS,
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
    ...options,
  });
}

function step(tokens: readonly number[], first = 0, slot = 0, outputs = [tokens.length - 1]): Step {
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(tokens, (_, row) => first + row),
    slots: new Int32Array(tokens.length).fill(slot),
    outputs: Int32Array.from(outputs),
  };
}

async function lastLogits(options: Partial<ExecutorOptions> = {}, from = file): Promise<Float32Array> {
  return (await (await executor(options, from)).step(step(TOKENS))).slice();
}

function worst(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

describe("steps", () => {
  test("token by token, in pieces and at once give bit-equal logits", async () => {
    const whole = await lastLogits();
    const byToken = await executor();
    let logits = new Float32Array();
    for (const [position, token] of TOKENS.entries()) {
      logits = (await byToken.step(step([token], position))).slice();
    }
    expect(worst(logits, whole)).toBe(0);
    const inPieces = await executor();
    expect((await inPieces.step(step(TOKENS.slice(0, 3), 0, 0, []))).length).toBe(0);
    expect(worst(await inPieces.step(step(TOKENS.slice(3), 3)), whole)).toBe(0);
  });

  test("sequences of two slots share a step without touching each other", async () => {
    const both = await executor();
    const [first, second] = [TOKENS, [...TOKENS].reverse()];
    const tokens = first.flatMap((token, i) => [token, second[i]]);
    const mixed: Step = {
      tokens: Int32Array.from(tokens),
      positions: Int32Array.from(tokens, (_, row) => row >> 1),
      slots: Int32Array.from(tokens, (_, row) => row & 1),
      outputs: Int32Array.of(14, 15),
    };
    const logits = await both.step(mixed);
    expect(worst(logits.subarray(0, 320), await lastLogits())).toBe(0);
    const alone = await executor();
    expect(worst(logits.subarray(320), await alone.step(step(second)))).toBe(0);
  });

  test("positions written again replace what was there", async () => {
    const reused = await executor();
    await reused.step(step([9, 9, 9, 9, 9, 9, 9, 9]));
    expect(worst(await reused.step(step(TOKENS)), await lastLogits())).toBe(0);
  });
});

describe("border", () => {
  const bad: readonly (readonly [string, Step, RegExp])[] = [
    ["a token beyond the vocabulary", step([320]), /token of row 0, expected 0 to 319, got 320/],
    ["a negative token", step([1, -1]), /token of row 1, .* got -1/],
    ["a position beyond the context", step([1], 32), /position of row 0, expected 0 to 31, got 32/],
    ["a slot that is not there", step([1], 0, 2), /slot of row 0, expected 0 to 1, got 2/],
    ["too many tokens", step(new Array(17).fill(1)), /expected 1 to 16 tokens, got 17/],
    ["no tokens", step([]), /got 0/],
    ["descending outputs", step(TOKENS, 0, 0, [2, 1]), /output row 1, .* got 1/],
    ["an output beyond the step", step(TOKENS, 0, 0, [8]), /output row 0, .* got 8/],
    ["positions missing", { ...step(TOKENS), positions: new Int32Array(1) }, /expected 8 positions/],
  ];
  for (const [title, wrong, message] of bad) {
    test(title, async () => {
      const made = await executor();
      const error = await made.step(wrong).catch((problem: unknown) => problem);
      expect(error).toBeInstanceOf(OptionError);
      expect((error as Error).message).toMatch(message);
      expect(worst(await made.step(step(TOKENS)), await lastLogits())).toBe(0);
    });
  }

  test("limits must be whole numbers above 0", async () => {
    await expect(executor({ limits: { ...LIMITS, slots: 0 } })).rejects.toThrow(/limit slots/);
  });

  test("an aborted signal rejects with its reason, before and during a step", async () => {
    const made = await executor();
    const early = AbortSignal.abort(new Error("early"));
    await expect(made.step(step(TOKENS), early)).rejects.toThrow("early");
    const controller = new AbortController();
    const running = made.step(step(TOKENS), controller.signal);
    controller.abort(new Error("midway"));
    await expect(running).rejects.toThrow("midway");
    expect(worst(await made.step(step(TOKENS)), await lastLogits())).toBe(0);
  });

  test("two steps at once and steps after dispose are bugs and say so", async () => {
    const made = await executor();
    const running = made.step(step(TOKENS));
    await expect(made.step(step(TOKENS))).rejects.toThrow(/while running/);
    await running;
    await made.dispose();
    await made.dispose();
    await expect(made.step(step(TOKENS))).rejects.toThrow(/while disposed/);
  });
});

describe("storage", () => {
  test("f32 and auto are exact, coarser storages differ more", async () => {
    const exact = await lastLogits();
    expect(worst(await lastLogits({ weightFormat: "f32" }), exact)).toBe(0);
    const f16 = worst(await lastLogits({ weightFormat: "f16" }), exact);
    const q8 = worst(await lastLogits({ weightFormat: "q8" }), exact);
    const q4 = worst(await lastLogits({ weightFormat: "q4" }), exact);
    expect(f16).toBeGreaterThan(1e-6);
    expect(f16).toBeLessThan(q8 / 3);
    expect(q8).toBeLessThan(q4 / 3);
    expect(q4).toBeLessThan(3);
  });

  test("forcing q8 equals loading a file of Q8_0", async () => {
    const whole = createSyntheticCheckpoint("llama", syntheticShape("llama"), 5);
    const stored = await lastLogits({}, await openSyntheticGguf(whole, q8_0));
    expect(worst(stored, await lastLogits({ weightFormat: "q8" }))).toBe(0);
  });

  test("an f16 cache rounds keys and values", async () => {
    const difference = worst(await lastLogits({ keyValueFormat: "f16" }), await lastLogits());
    expect(difference).toBeGreaterThan(1e-6);
    expect(difference).toBeLessThan(5e-3);
  });

  test("bytes and progress", async () => {
    const seen: [number, number][] = [];
    const made = await executor({ onProgress: (loaded, total) => seen.push([loaded, total]) });
    expect(seen.at(-1)).toEqual([made.weightBytes, made.weightBytes]);
    const layer = 64 * 2 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 160 * 64;
    expect(made.weightBytes).toBe(4 * (2 * layer + 64 + 2 * 320 * 64));
    expect(made.keyValueBytes).toBe(2 * 2 * 2 * 32 * 32 * 4);
    const { total, byKind } = made.readBytes(7);
    expect(byKind.keyValue).toBe(2 * 7 * 2 * 32 * 4);
    expect(total).toBe(4 * (2 * layer + 64 + 320 * 64 + 64) + byKind.keyValue);
  });

  test("a tied head shares its table", async () => {
    const shape = syntheticShape("llama", { tiedHead: true });
    const tied = await openSyntheticGguf(createSyntheticCheckpoint("llama", shape, 5));
    const untied = await executor();
    expect(untied.weightBytes - (await executor({}, tied)).weightBytes).toBe(4 * 320 * 64);
  });
});
