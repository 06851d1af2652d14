/**
 * Tender on a real trained model: 8 bits cost next to nothing, also with planted outlier channels that break one scale per
 * tensor; 4 bits are what they are. Both executors, from the same compressed checkpoint.
 */
import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { createWasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import { loadProgram } from "../../src/models/registry.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import { compressTender, type TenderOptions, type TenderResult } from "../../src/methods/tender/compress.ts";
import { prepareTender } from "../../src/methods/tender/prepare.ts";
import { searchRounding } from "../../src/methods/tender/rounding-search.ts";
import type { Program } from "../../src/program/program.ts";
import { dataPath, describeWithData } from "../shared-data.ts";
import { executorOptions, meanNll, plantOutliers, referenceLogits, stepOf, W8A8 } from "../tender-models.ts";

/** Of run.c over text_a, in f32. */
const FLOAT_NLL = 1.315989;

describeWithData("Tender on stories260K", () => {
  let file: ModelFile;
  let program: Program;
  let tokens: number[];
  let text: string;

  beforeAll(async () => {
    file = await openModelFile(nodePlatform(), dataPath("models", "stories260K", "stories260K.gguf"));
    ({ program } = await loadProgram(file, { contextLength: 512 }));
    const bytes = readFileSync(dataPath("reference", "stories260K", "text_a.tokens.i32"));
    tokens = [...new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))];
    text = readFileSync(dataPath("text", "corpus", "valid.txt"), "utf8").slice(0, 40_000);
  });

  async function compress(source: ModelFile, options: Partial<TenderOptions> = {}): Promise<TenderResult> {
    const { chunkRows } = options;
    const prepared = await prepareTender(nodePlatform(), source, text, {
      chunkRows,
      segmentTokens: 512,
      maxSegments: 32,
      threads: 1,
      attention: options.attention,
    });
    const all = { ...W8A8, calibration: prepared.facts, ...options };
    return compressTender(source, program, prepared.inputs, prepared.calibration, all);
  }

  async function nllOf(source: ModelFile, options: Partial<TenderOptions>): Promise<number> {
    const made = await compress(source, options);
    return meanNll(await referenceLogits(made.program, made.file, tokens), tokens, 512);
  }

  test("W8A8 stays within 0.01 nats, flat and chunked, on both executors", async () => {
    for (const chunkRows of [undefined, 128]) {
      const made = await compress(file, { chunkRows });
      const reference = meanNll(await referenceLogits(made.program, made.file, tokens), tokens, 512);
      expect(Math.abs(reference - FLOAT_NLL)).toBeLessThan(0.01);
      const wasm = await createWasmExecutor(nodePlatform(), made.program, made.file, executorOptions(512));
      const logits = await wasm.step(stepOf(tokens));
      const nll = meanNll(logits, tokens, 512);
      await wasm.dispose();
      expect(Math.abs(nll - FLOAT_NLL)).toBeLessThan(0.01);
    }
  });

  test("W8A8 with attention of integers stays within 0.01 nats too", async () => {
    const made = await compress(file, { attention: true });
    const wasm = await createWasmExecutor(nodePlatform(), made.program, made.file, executorOptions(512));
    expect(Math.abs(meanNll(await wasm.step(stepOf(tokens)), tokens, 512) - FLOAT_NLL)).toBeLessThan(0.01);
    const some = tokens.slice(0, 100);
    const nll = meanNll(await wasm.step(stepOf(some)), some, 512);
    await wasm.dispose();
    const reference = meanNll(await referenceLogits(made.program, made.file, some), some, 512);
    // What linears read differs in the last bit of f32 between the executors, and with it a code here and there.
    expect(Math.abs(nll - reference)).toBeLessThan(3e-3);
  });

  test("planted outliers: one scale per tensor breaks, Tender does not", async () => {
    const planted = await plantOutliers(file, program, [5, 40], 32);
    const float = meanNll(await referenceLogits(program, planted, tokens), tokens, 512);
    expect(Math.abs(float - FLOAT_NLL)).toBeLessThan(1e-4);
    const perTensor = await nllOf(planted, { groups: 1, channelBias: false });
    const tender = await nllOf(planted, { groups: 9 });
    expect(perTensor - FLOAT_NLL).toBeGreaterThan(0.5);
    expect(Math.abs(tender - FLOAT_NLL)).toBeLessThan(0.02);
  });

  test("the rounding search keeps what loses less on the first segment", async () => {
    const prepared = await prepareTender(nodePlatform(), file, text, {
      chunkRows: undefined,
      segmentTokens: 512,
      maxSegments: 8,
      threads: 1,
    });
    for (const activationBits of [8, 4] as const) {
      const options = { ...W8A8, activationBits, calibration: prepared.facts };
      const { result, losses } = await searchRounding(nodePlatform(), file, prepared, options, 1);
      const segment = [...prepared.firstSegment.tokens];
      for (const rounding of ["up", "down"] as const) {
        const { inputs, calibration } = prepared;
        const made = await compressTender(file, program, inputs, calibration, { ...options, rounding });
        const nll = meanNll(await referenceLogits(made.program, made.file, segment), segment, 512);
        expect(Math.abs(nll - losses[rounding])).toBeLessThan(2e-3);
      }
      expect(losses.up).not.toBe(losses.down);
      expect(result.recipe.settings.rounding).toBe(losses.down < losses.up ? "down" : "up");
    }
  });

  test("4-bit weights with 16-, 8- and 4-bit activations", async () => {
    const weightsOnly = await nllOf(file, { weightBits: 4, activationBits: 16, groups: 1 });
    const w4a8 = await nllOf(file, { weightBits: 4 });
    const w4a4 = await nllOf(file, { weightBits: 4, activationBits: 4 });
    expect(weightsOnly - FLOAT_NLL).toBeLessThan(0.25);
    expect(w4a8 - FLOAT_NLL).toBeLessThan(0.25);
    // A width of 64 leaves 4-bit activations nothing to average over.
    expect(w4a4).toBeGreaterThan(w4a8 + 0.5);
  });
});
