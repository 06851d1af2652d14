/**
 * Compression from end to end on tiny random models: every family survives it, written folders give the same logits, chunks
 * follow absolute positions, planted outliers break plain INT8 and not Tender, and bad input is refused in one line.
 */
import { beforeAll, describe, expect, test } from "vitest";
import {
  meanNll,
  makeTender,
  plantOutliers,
  referenceLogits,
  stepOf,
  executorOptions,
} from "../../../test/tender-models.ts";
import { createReferenceExecutor } from "../../executors/reference/reference-executor.ts";
import { createWasmExecutor } from "../../executors/wasm/wasm-executor.ts";
import { openFolder } from "../../formats/huggingface-folder.ts";
import { writeModelFolder } from "../../formats/folder-writer.ts";
import type { Json, ModelFile } from "../../formats/model-file.ts";
import { overlayFile } from "../../formats/overlay-file.ts";
import { loadProgram } from "../../models/registry.ts";
import {
  createSyntheticCheckpoint,
  openSyntheticFolder,
  openSyntheticGguf,
} from "../../models/synthetic/checkpoint.ts";
import { SYNTHETIC_FAMILIES, syntheticShape } from "../../models/synthetic/shape.ts";
import { collectFiles, memoryFolder } from "../../platform/memory.ts";
import { nodePlatform } from "../../platform/node.ts";
import { programCaches } from "../../program/dataflow.ts";
import type { Program } from "../../program/program.ts";
import { applyRecipes, loadRecipeProgram, readRecipes } from "../recipes.ts";
import { calibrate, observeInputs } from "./calibration.ts";
import { cutSegments } from "../calibration-segments.ts";

const TOKENS = [1, 300, 17, 42, 260, 5, 311, 299, 12, 77, 203, 150, 9, 31, 8, 266];
const SEGMENTS = [TOKENS, [1, 8, 250, 99, 140, 33, 271, 56, 310, 7, 61, 180, 222, 14, 305, 90]];

let file: ModelFile;
let program: Program;

beforeAll(async () => {
  file = await openSyntheticGguf(createSyntheticCheckpoint("llama", syntheticShape("llama"), 5));
  program = (await loadProgram(file)).program;
});

function relativeError(got: Float32Array, expected: Float32Array): number {
  let [error, size] = [0, 0];
  got.forEach((value, i) => {
    error += (value - expected[i]) ** 2;
    size += expected[i] ** 2;
  });
  return Math.sqrt(error / size);
}

async function writtenAndOpened(model: ModelFile): Promise<ModelFile> {
  const files = await collectFiles((open) => writeModelFolder(model, open));
  return openFolder(memoryFolder("compressed", files));
}

describe("every family", () => {
  test.each(SYNTHETIC_FAMILIES)(
    "%s: 8 bits stay close to the float model, in a written folder too",
    async (family) => {
      const shape = syntheticShape(family);
      const open = family === "llama" ? openSyntheticGguf : openSyntheticFolder;
      const source = await open(createSyntheticCheckpoint(family, shape, 3));
      const float = (await loadProgram(source)).program;
      const tender = await makeTender(source, float, SEGMENTS);
      const expected = await referenceLogits(float, source, TOKENS);
      const got = await referenceLogits(tender.program, tender.file, TOKENS);
      expect(relativeError(got, expected)).toBeLessThan(0.06);
      expect(relativeError(got, expected)).toBeGreaterThan(1e-5);
      const reopened = await writtenAndOpened(tender.file);
      const loaded = (await loadRecipeProgram(reopened)).program;
      expect(loaded.ops.filter(({ kind }) => kind === "linear")).toEqual([]);
      expect(await referenceLogits(loaded, reopened, TOKENS)).toEqual(got);
    },
  );
});

describe("settings", () => {
  test.each([
    ["W4A16, written as 4-bit codes", { activationBits: 16, weightBits: 4, groups: 1 }, 0.35],
    ["W8A16", { activationBits: 16, weightBits: 8, groups: 1 }, 0.02],
    ["W4A8", { activationBits: 8, weightBits: 4 }, 0.35],
    ["W8A8 per token", { activationBits: 8, perToken: true, groups: 1, channelBias: false }, 0.06],
    ["W8A8, ranges rounded down", { rounding: "down" }, 0.5],
    ["W8A8, head left alone", { headBits: undefined }, 0.06],
  ] as const)("%s", async (_, options, bound) => {
    const tender = await makeTender(file, program, SEGMENTS, options);
    const got = await referenceLogits(tender.program, tender.file, TOKENS);
    expect(relativeError(got, await referenceLogits(program, file, TOKENS))).toBeLessThan(bound);
    const reopened = await writtenAndOpened(tender.file);
    const loaded = (await loadRecipeProgram(reopened)).program;
    expect(await referenceLogits(loaded, reopened, TOKENS)).toEqual(got);
  });

  test("chunks follow the absolute position: decoding equals prefill bit for bit", async () => {
    const tender = await makeTender(file, program, SEGMENTS, { chunkRows: 4 });
    const input = tender.recipe.inputs[0].activations;
    expect(input).toMatchObject({ kind: "static", chunks: 4, chunkRows: 4 });
    const whole = await referenceLogits(tender.program, tender.file, TOKENS);
    const executor = await createReferenceExecutor(
      tender.program,
      tender.file,
      executorOptions(TOKENS.length),
    );
    for (const [position, token] of TOKENS.entries()) {
      const logits = await executor.step(stepOf([token], position));
      const vocabulary = program.vocabularySize;
      expect(logits.slice()).toEqual(whole.slice(position * vocabulary, (position + 1) * vocabulary));
    }
    const flat = await makeTender(file, program, SEGMENTS);
    expect(await referenceLogits(flat.program, flat.file, TOKENS)).not.toEqual(whole);
  });

  test("planted outliers break one scale per tensor and leave Tender as it was", async () => {
    const planted = await plantOutliers(file, program, [3, 17], 32);
    const expected = await referenceLogits(program, file, TOKENS);
    expect(relativeError(await referenceLogits(program, planted, TOKENS), expected)).toBeLessThan(1e-5);
    const errorOf = async (options: Parameters<typeof makeTender>[3]) => {
      const { file: made, program: rewritten } = await makeTender(planted, program, SEGMENTS, options);
      return relativeError(await referenceLogits(rewritten, made, TOKENS), expected);
    };
    expect(await errorOf({ groups: 1, channelBias: false })).toBeGreaterThan(0.2);
    expect(await errorOf({ groups: 9 })).toBeLessThan(0.08);
  });

  test.each([
    ["8 bits", { groups: 8 }, 0.08],
    ["8 bits, chunks", { groups: 8, chunkRows: 4 }, 0.08],
    ["8 bits, one group without bias", { groups: 1, channelBias: false }, 0.1],
    ["4 bits", { groups: 5, activationBits: 4, weightBits: 4 }, 1],
  ] as const)(
    "attention of integers, %s: both executors, a written folder, bytes",
    async (_, options, bound) => {
      const linears = await makeTender(file, program, SEGMENTS, options);
      const all = await makeTender(file, program, SEGMENTS, { ...options, attention: true });
      expect(all.recipe.attention?.map(({ cache }) => cache)).toEqual(
        programCaches(program).map(({ name }) => name),
      );
      const got = await referenceLogits(all.program, all.file, TOKENS);
      expect(relativeError(got, await referenceLogits(program, file, TOKENS))).toBeLessThan(bound);
      expect(got).not.toEqual(await referenceLogits(linears.program, linears.file, TOKENS));
      const reopened = await writtenAndOpened(all.file);
      const loaded = (await loadRecipeProgram(reopened)).program;
      expect(await referenceLogits(loaded, reopened, TOKENS)).toEqual(got);
      for (const simd of ["relaxed", "plain"] as const) {
        const options = { ...executorOptions(TOKENS.length), simd };
        const wasm = await createWasmExecutor(nodePlatform(), all.program, all.file, options);
        expect(wasm.kernels.decode).toContain("tender_attention_f32");
        const whole = (await wasm.step(stepOf(TOKENS))).slice();
        // A score may fall on either side of the bound between two codes, and with it a code behind it.
        expect(relativeError(whole, got)).toBeLessThan(0.02);
        const vocabulary = program.vocabularySize;
        for (const [position, token] of TOKENS.entries()) {
          const row = await wasm.step(stepOf([token], position));
          expect(row.slice()).toEqual(whole.slice(position * vocabulary, (position + 1) * vocabulary));
        }
        await wasm.dispose();
      }
    },
  );

  test("attention of integers: what does not belong together is refused", async () => {
    await expect(
      makeTender(file, program, SEGMENTS, { activationBits: 16, groups: 1, attention: true }),
    ).rejects.toThrow(/attention of integers needs activations of 8 or 4 bits, got 16/);
    const { file: made } = await makeTender(file, program, SEGMENTS, { attention: true });
    const applied = (change: (attention: { cache: string; groups: number }[]) => void) => {
      const copy = JSON.parse(JSON.stringify(made.recipes));
      change(copy.recipes[0].attention);
      return () => applyRecipes(program, overlayFile(made, [], copy as Json));
    };
    expect(applied((entries) => (entries[0].cache = "nowhere"))).toThrow(
      /attention\.0\.cache: the program has no nowhere/,
    );
    expect(applied((entries) => entries.push(entries[0]))).toThrow(/is listed twice/);
  });

  test("counts bytes by codes, scales and one chunk", async () => {
    const { file: made, program: rewritten } = await makeTender(file, program, SEGMENTS, {
      channelBias: false,
    });
    const head = rewritten.ops.at(-1);
    if (head?.kind !== "tenderLinear") throw new Error("the head is a tenderLinear");
    const bytes = (name: string) => made.tensors.get(name)?.bytes ?? Number.NaN;
    expect(bytes(head.codes.tensor)).toBe(320 * 64);
    expect(bytes(head.scales.tensor)).toBe(4 * 320);
    expect(head.offset).toBeUndefined();
  });
});

describe("calibration", () => {
  const cut = (tokens: readonly number[], options: Partial<Parameters<typeof cutSegments>[1]> = {}) =>
    cutSegments(tokens, { segmentTokens: 64, chunkRows: undefined, maxSegments: 8, bosId: 1, ...options });
  const many = Array.from({ length: 200 }, (_, i) => 2 + (i % 50));

  test("segments begin with BOS and the rest is used when it fills a chunk", () => {
    const segments = cut(many);
    expect(segments.map(({ tokens }) => tokens.length)).toEqual([64, 64, 64]);
    expect(segments.every(({ tokens: [first] }) => first === 1)).toBe(true);
    expect(cut(many, { maxSegments: 2 })).toHaveLength(2);
  });

  test("refuses text that cannot calibrate", () => {
    expect(() => cut([])).toThrow(/is empty/);
    expect(() => cut([1])).toThrow(/is empty/);
    expect(() => cut(new Array(100).fill(7))).toThrow(/one token repeated 100 times/);
    expect(() => cut(many.slice(0, 5))).toThrow(/has 5 tokens, expected at least 32/);
    expect(() => cut(many.slice(0, 40), { chunkRows: 48 })).toThrow(
      /has 40 tokens, expected at least 48, one chunk/,
    );
    expect(() => cut(many, { chunkRows: 65 })).toThrow(/chunks of 65 rows do not fit segments of 64/);
  });

  test("linears that read the same value share an input, a later write begins another", () => {
    const { inputs } = observeInputs(program);
    const layer = inputs
      .slice(0, 4)
      .map(({ linears }) => linears.map(({ weight }) => weight.name.replace("layers.0.", "")));
    expect(layer).toEqual([
      ["attention.query", "attention.key", "attention.value"],
      ["attention.output"],
      ["feedForward.gate", "feedForward.up"],
      ["feedForward.down"],
    ]);
    expect(inputs.slice(0, 4).map(({ normed }) => normed)).toEqual([true, false, true, false]);
    expect(new Set(inputs.map(({ copy }) => copy.name)).size).toBe(inputs.length);
  });

  test("extremes over segments, bias as their mean, chunk by position", async () => {
    const observed = observeInputs(program);
    const executor = await createReferenceExecutor(observed.program, file, executorOptions(16, 5));
    const calibration = await calibrate(executor, observed.inputs, {
      segments: SEGMENTS.map((tokens) => ({ tokens })),
      chunkRows: 8,
    });
    const [first] = observed.inputs;
    const chunks = calibration.get(first.name) ?? [];
    expect(chunks).toHaveLength(2);
    const rows: Float32Array[][] = [[], []];
    for (const segment of SEGMENTS) {
      await executor.step(stepOf(segment.slice(0, 5)));
      for (const position of segment.keys()) {
        await executor.step(stepOf([segment[position]], position));
        rows[position < 8 ? 0 : 1].push(executor.readBuffer(first.copy, 1).slice());
      }
    }
    chunks.forEach(({ range, bias }, chunk) => {
      const values = rows[chunk].map((row) => row[0]);
      expect([range.minima[0], range.maxima[0]]).toEqual([Math.min(...values), Math.max(...values)]);
      const [a, b] = [values.slice(0, 8), values.slice(8)];
      const middle = (part: number[]) => (Math.max(...part) + Math.min(...part)) / 2;
      expect(bias[0]).toBeCloseTo((middle(a) + middle(b)) / 2, 12);
    });
  });
});

describe("recipes", () => {
  async function recipes(): Promise<{
    made: ModelFile;
    section: { version: number; recipes: Record<string, unknown>[] };
  }> {
    const { file: made } = await makeTender(file, program, SEGMENTS);
    return { made, section: JSON.parse(JSON.stringify(made.recipes)) };
  }

  test("a wrong field is named by its path", async () => {
    const { made, section } = await recipes();
    const broken = (change: (section: { version: number; recipes: Record<string, unknown>[] }) => void) => {
      const copy = JSON.parse(JSON.stringify(section));
      change(copy);
      return () => readRecipes({ name: made.name, recipes: copy as Json });
    };
    expect(broken((copy) => (copy.version = 2))).toThrow(/config\.json key skim\.version/);
    expect(broken((copy) => (copy.recipes[0].inputs = []))).toThrow(/skim\.recipes\.0\.inputs/);
    expect(broken((copy) => (copy.recipes[0].method = "magic"))).toThrow(/skim\.recipes\.0\.method/);
    expect(broken((copy) => Object.assign((copy.recipes[0].inputs as object[])[0], { codeBits: 5 }))).toThrow(
      /skim\.recipes\.0\.inputs\.0\.codeBits/,
    );
  });

  test("recipe, program and tensors must belong together", async () => {
    const { made, section } = await recipes();
    const inputs = section.recipes[0].inputs as { linears: string[]; codeBits: number }[];
    const applied = (change: (copy: typeof inputs) => void) => {
      const copy = JSON.parse(JSON.stringify(section));
      change(copy.recipes[0].inputs);
      return () => applyRecipes(program, overlayFile(made, [], copy as Json));
    };
    expect(applied((copy) => copy[0].linears.push("layers.9.attention.query"))).toThrow(
      /inputs\.0\.linears: layers\.9\.attention\.query is no linear of the program/,
    );
    expect(applied((copy) => copy[1].linears.push(copy[0].linears[0]))).toThrow(/is listed twice/);
    expect(applied((copy) => (copy[0].codeBits = 4))).toThrow(/expected 4-bit codes \(I4\), got I8/);
    expect(applied((copy) => copy.splice(1, 1))).toThrow(/holds integer codes, expected weights or a recipe/);
    expect(() => applyRecipes(program, overlayFile(made, [], undefined))).toThrow(/holds integer codes/);
  });
});

test("mean NLL of uniform logits is ln V", () => {
  expect(meanNll(new Float32Array(3 * 8), [1, 2, 3], 8)).toBeCloseTo(Math.log(8), 12);
});
