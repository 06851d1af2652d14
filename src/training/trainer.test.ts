/**
 * A tiny model trained for seconds on generated text: the loss falls to a stated bound near the text's
 * entropy, a resumed run repeats an uninterrupted one bit for bit, any number of threads gives the same
 * losses, runs end as they should.
 */
import { existsSync, symlinkSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NumericError, OptionError, ResourceError } from "../errors.ts";
import { createWasmTraining, type WasmTraining } from "../executors/training/wasm-training.ts";
import { createReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { openHuggingFaceFolder } from "../formats/huggingface-folder.ts";
import { loadProgram } from "../models/registry.ts";
import { collectFiles, finishedBytes, memoryFolder, memorySink, memorySource } from "../platform/memory.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import { differentiate } from "../program/differentiate.ts";
import { f32 } from "../quantization/f32.ts";
import { logProbability } from "../session/logits.ts";
import { RandomSource } from "../session/random.ts";
import { TextBatches, validationBatches } from "./batches.ts";
import { createFreshModel } from "./fresh-model.ts";
import { loadParameters } from "./load-parameters.ts";
import { saveModelDescription, saveWeights } from "./save-model.ts";
import { meanLoss, type StepReport, train, type TrainerHooks, type TrainerSettings } from "./trainer.ts";
import { freshState, readCheckpoint, type TrainingState, writeCheckpoint } from "./training-state.ts";

const VOCABULARY = 24;
const SHAPE = {
  layers: 2,
  width: 32,
  heads: 4,
  kvHeads: 2,
  feedForwardWidth: 64,
  vocabularySize: VOCABULARY,
  contextLength: 32,
  tiedHead: true,
  activation: "silu",
};
const BATCH = { sequences: 8, length: 32 };
const SETTINGS: TrainerSettings = {
  steps: 12,
  warmup: 10,
  learningRate: 3e-3,
  finalShare: 0.1,
  accumulation: 1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
  evaluateEvery: 100,
  checkpointEvery: 100,
  patience: undefined,
};
const TOKENIZER = { json: {}, config: {}, bosId: 0, eosId: 0 };
const model = createFreshModel(SHAPE, 5, TOKENIZER);

/**
 * After every third token the next one depends on the token before, else on the last;
 * a tenth of all is noise.
 */
function generatedText(length: number, seed: number): Int32Array {
  const random = new RandomSource(seed);
  const tokens = Int32Array.of(1, 2, ...new Int32Array(length - 2));
  for (let i = 2; i < length; i++) {
    const [last, before] = [tokens[i - 1], tokens[i - 2]];
    const fixed = (last % 3 === 0 ? before + 1 : 5 * last + 7) % VOCABULARY;
    tokens[i] = random.nextUnit() < 0.9 ? fixed : random.nextUint32() % VOCABULARY;
  }
  return tokens;
}

/** Entropy per token of that language, in nats. */
const ENTROPY = (() => {
  const likely = 0.9 + 0.1 / VOCABULARY;
  const rare = 0.1 / VOCABULARY;
  return -(likely * Math.log(likely) + (VOCABULARY - 1) * rare * Math.log(rare));
})();

const TEXT = generatedText(100_000, 1);
const VALIDATION = validationBatches(generatedText(1100, 2), BATCH, 1024);
const executors: WasmTraining[] = [];

afterEach(async () => {
  for (const executor of executors.splice(0)) await executor.dispose();
});

async function makeExecutor(threads = 2): Promise<WasmTraining> {
  const { program } = await loadProgram(model);
  const limits = { rows: BATCH.sequences * BATCH.length, sequenceLength: BATCH.length };
  const executor = await createWasmTraining(nodePlatform(), differentiate(program), {
    threads,
    limits,
    simd: "auto",
  });
  executors.push(executor);
  await loadParameters(model, executor);
  return executor;
}

function recorder(): TrainerHooks & { reports: StepReport[]; models: number; states: TrainingState[] } {
  const record = { reports: [] as StepReport[], models: 0, states: [] as TrainingState[] };
  return Object.assign(record, {
    onStep: (report: StepReport) => void record.reports.push(report),
    saveModel: async () => void record.models++,
    saveCheckpoint: async (state: TrainingState) => void record.states.push(state),
  });
}

const data = () => new TextBatches("text", TEXT, BATCH, 9);

describe("training", () => {
  test("the loss falls to within 0.15 nats of the text's entropy", async () => {
    const executor = await makeExecutor();
    const start = await meanLoss(executor, VALIDATION);
    expect(start).toBeGreaterThan(Math.log(VOCABULARY) - 0.3);
    const settings = { ...SETTINGS, steps: 600, warmup: 20, learningRate: 1e-2 };
    const hooks = recorder();
    const result = await train(executor, data(), VALIDATION, settings, freshState(""), hooks);
    expect(result.reason).toBe("done");
    expect(result.state.best?.loss).toBeLessThan(ENTROPY + 0.15);
    expect(await meanLoss(executor, VALIDATION)).toBeLessThan(ENTROPY + 0.2);
    expect(hooks.models).toBeGreaterThan(0);
    await savedModelAgrees(executor);
  });

  test("threads change no loss", async () => {
    const runs = [];
    for (const threads of [1, 2, 3]) {
      const hooks = recorder();
      await train(await makeExecutor(threads), data(), [], SETTINGS, freshState(""), hooks);
      runs.push(hooks.reports);
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
  });

  test("two micro-batches of half the size make the same update", async () => {
    const [whole, halves] = [recorder(), recorder()];
    const first = await makeExecutor();
    await train(first, data(), [], { ...SETTINGS, steps: 2 }, freshState(""), whole);
    const half = new TextBatches("text", TEXT, { ...BATCH, sequences: 4 }, 9);
    const second = await makeExecutor();
    await train(second, half, [], { ...SETTINGS, steps: 2, accumulation: 2 }, freshState(""), halves);
    expect(halves.reports[0].loss).toBeCloseTo(whole.reports[0].loss, 5);
    expect(halves.reports[1].loss).toBeCloseTo(whole.reports[1].loss, 5);
    expect(halves.reports[1].gradientNorm).toBeCloseTo(whole.reports[1].gradientNorm, 4);
  });
});

describe("resuming", () => {
  test("repeats an uninterrupted run bit for bit", async () => {
    const [whole, first, second] = [recorder(), recorder(), recorder()];
    const uninterrupted = await makeExecutor();
    const settings = { ...SETTINGS, accumulation: 3, evaluateEvery: 4 };
    const end = await train(uninterrupted, data(), VALIDATION, settings, freshState("run"), whole);

    const controller = new AbortController();
    const stopping = {
      ...first,
      onStep: (report: StepReport) => {
        first.reports.push(report);
        if (report.step === 7) controller.abort();
      },
    };
    const stopped = await makeExecutor();
    const result = await train(
      stopped,
      data(),
      VALIDATION,
      settings,
      freshState("run"),
      stopping,
      controller.signal,
    );
    expect(result.reason).toBe("aborted");
    expect(first.states.at(-1)).toEqual(result.state);
    const sink = memorySink("checkpoint");
    await writeCheckpoint(sink, stopped, result.state);
    const source = memorySource("checkpoint", finishedBytes(sink));

    const resumed = await makeExecutor(1);
    const state = await readCheckpoint(source, resumed, "run");
    expect(state).toEqual(result.state);
    const after = await train(resumed, data(), VALIDATION, settings, state, second);
    expect([...first.reports, ...second.reports]).toEqual(whole.reports);
    expect(after.state).toEqual(end.state);
    for (const { tensor } of resumed.program.parameters) {
      expect(resumed.read(tensor, "weights")).toEqual(uninterrupted.read(tensor, "weights"));
    }
    await expect(readCheckpoint(source, resumed, "another run")).rejects.toThrow(OptionError);
  });

  test("a run in parts of one schedule is the run in one", async () => {
    const [whole, parts] = [recorder(), recorder()];
    await train(await makeExecutor(), data(), [], SETTINGS, freshState(""), whole);
    const executor = await makeExecutor();
    const first = await train(executor, data(), [], { ...SETTINGS, until: 5 }, freshState(""), parts);
    expect([first.reason, first.state.step, parts.models]).toEqual(["done", 5, 1]);
    const last = await train(executor, data(), [], { ...SETTINGS, until: 99 }, first.state, parts);
    expect(last.state.step).toBe(SETTINGS.steps);
    expect(parts.reports).toEqual(whole.reports);
  });

  test("a checkpoint cut short is refused", async () => {
    const executor = await makeExecutor();
    const sink = memorySink("checkpoint");
    await writeCheckpoint(sink, executor, freshState("run"));
    const bytes = finishedBytes(sink).slice(0, -5);
    await expect(readCheckpoint(memorySource("checkpoint", bytes), executor, "run")).rejects.toThrow(
      /truncated/,
    );
  });
});

describe("ends", () => {
  test("early, when validation no longer improves", async () => {
    const executor = await makeExecutor();
    const settings = { ...SETTINGS, steps: 50, learningRate: 0, evaluateEvery: 2, patience: 3 };
    const hooks = recorder();
    const result = await train(executor, data(), VALIDATION, settings, freshState(""), hooks);
    expect(result).toMatchObject({ reason: "early stop", state: { step: 8, stale: 3, best: { step: 2 } } });
    expect(hooks.models).toBe(1);
  });

  test("with an error when the loss is no number, the last checkpoint kept", async () => {
    const executor = await makeExecutor();
    const hooks = recorder();
    const broken: TrainerHooks = {
      ...hooks,
      onStep: ({ step }) => {
        if (step === 3) executor.write("model.norm.weight", "weights", new Float32Array(32).fill(Number.NaN));
      },
    };
    const running = train(executor, data(), [], { ...SETTINGS, checkpointEvery: 2 }, freshState(""), broken);
    await expect(running).rejects.toThrow(NumericError);
    expect(hooks.states.map(({ step }) => step)).toEqual([2]);
  });
});

describe.runIf(existsSync("/dev/full"))("a full disk", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "skim-full-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("ends with an error; the last checkpoint is kept and continues the run", async () => {
    const [target, whole, after] = [path.join(folder, "checkpoint"), recorder(), recorder()];
    await train(await makeExecutor(), data(), [], SETTINGS, freshState("run"), whole);
    const executor = await makeExecutor();
    const hooks: TrainerHooks = {
      ...recorder(),
      // Bytes written under the checkpoint's temporary name find no room from update 4 on.
      onStep: ({ step }) => {
        if (step === 4) symlinkSync("/dev/full", `${target}.${process.pid}.partial`);
      },
      saveCheckpoint: async (state) => writeCheckpoint(await createFileSink(target), executor, state),
    };
    const settings = { ...SETTINGS, checkpointEvery: 2 };
    const running = train(executor, data(), [], settings, freshState("run"), hooks);
    await expect(running).rejects.toThrow(ResourceError);
    await expect(running).rejects.toThrow(/checkpoint.*cannot be (written|completed) \(ENOSPC\)/);
    expect(await readdir(folder)).toEqual(["checkpoint"]);

    const opened = await nodePlatform().open(target);
    if (!("file" in opened)) throw new Error("no file");
    const resumed = await makeExecutor();
    const state = await readCheckpoint(opened.file, resumed, "run");
    await opened.file.close();
    expect(state.step).toBe(2);
    await train(resumed, data(), [], SETTINGS, state, after);
    expect(after.reports).toEqual(whole.reports.slice(2));
  });
});

/** The written folder opens, and the reference executor finds the loss that the trainer finds. */
async function savedModelAgrees(executor: WasmTraining): Promise<void> {
  const files = await collectFiles(async (open) => {
    await saveModelDescription(model, f32, open);
    await saveWeights(model, executor, f32, open);
  });
  const file = await openHuggingFaceFolder(memoryFolder("saved", files));
  const { program } = await loadProgram(file);
  const engine = await createReferenceExecutor(program, file, {
    threads: 1,
    limits: { contextLength: 32, slots: 1, stepTokens: 32 },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  const [{ tokens, targets }] = validationBatches(generatedText(33, 3), BATCH, 32);
  const rows = Int32Array.from({ length: 32 }, (_, i) => i);
  const logits = await engine.step({ tokens, positions: rows, slots: new Int32Array(32), outputs: rows });
  let nll = 0;
  targets.forEach((target, i) => {
    nll -= logProbability(logits.subarray(i * VOCABULARY, (i + 1) * VOCABULARY), target) / 32;
  });
  const [batch] = validationBatches(generatedText(33, 3), BATCH, 32);
  expect(Math.abs((await meanLoss(executor, [batch])) - nll)).toBeLessThan(1e-5);
}
