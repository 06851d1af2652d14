/** A teacher's logits reach the right rows, pull the student towards them, and vocabularies must agree. */
import { afterEach, describe, expect, test } from "vitest";
import { OptionError } from "../errors.ts";
import { createReferenceExecutor } from "../executors/reference/reference-executor.ts";
import { createWasmTraining, type WasmTraining } from "../executors/training/wasm-training.ts";
import { distillation } from "../kernels/loss/reference.ts";
import { loadProgram } from "../models/registry.ts";
import { nodePlatform } from "../platform/node.ts";
import { differentiate } from "../program/differentiate.ts";
import { packSequences, TextBatches } from "./batches.ts";
import { createFreshModel } from "./fresh-model.ts";
import { loadParameters } from "./load-parameters.ts";
import { checkVocabularies, executorTeacher, type Teacher } from "./teacher.ts";
import { meanLoss, type StepReport, train, type TrainerSettings } from "./trainer.ts";
import { freshState } from "./training-state.ts";

const VOCABULARY = 24;
const SHAPE = {
  layers: 1,
  width: 32,
  heads: 4,
  kvHeads: 2,
  feedForwardWidth: 64,
  vocabularySize: VOCABULARY,
  contextLength: 16,
  tiedHead: true,
  activation: "silu",
};
const SETTINGS: TrainerSettings = {
  steps: 60,
  warmup: 5,
  learningRate: 1e-2,
  finalShare: 0.1,
  accumulation: 1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0,
  clip: 1,
  evaluateEvery: 100,
  checkpointEvery: 100,
  patience: undefined,
};
const TOKENIZER = { json: {}, config: {}, bosId: 0, eosId: 0 };
const model = (seed: number) => createFreshModel(SHAPE, seed, TOKENIZER);
const TEXT = Int32Array.from({ length: 4000 }, (_, i) => (i * i + (i >> 2)) % VOCABULARY);
const data = () => new TextBatches("text", TEXT, { sequences: 4, length: 16 }, 3);
const students: WasmTraining[] = [];

afterEach(async () => {
  for (const student of students.splice(0)) await student.dispose();
});

async function makeStudent(seed: number): Promise<WasmTraining> {
  const file = model(seed);
  const { program } = await loadProgram(file);
  const training = differentiate(program, { distillation: { temperature: 1 } });
  const limits = { rows: 64, sequenceLength: 16 };
  const student = await createWasmTraining(nodePlatform(), training, { threads: 1, limits, simd: "auto" });
  students.push(student);
  await loadParameters(file, student);
  return student;
}

async function makeExecutor(seed: number) {
  const file = model(seed);
  const { program } = await loadProgram(file);
  return createReferenceExecutor(program, file, {
    threads: 1,
    limits: { contextLength: 16, slots: 1, stepTokens: 16 },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
}

const makeTeacher = async (seed: number, weight = 1) => executorTeacher(await makeExecutor(seed), weight);

async function learn(student: WasmTraining, teacher: Teacher, steps = SETTINGS.steps) {
  const reports: StepReport[] = [];
  await train(student, data(), [], { ...SETTINGS, steps, teacher }, freshState(""), {
    onStep: (report) => void reports.push(report),
    saveModel: async () => undefined,
    saveCheckpoint: async () => undefined,
  });
  return reports;
}

describe("a teacher", () => {
  test("gives the logits of its own for every row that counts", async () => {
    const sequences = [
      { tokens: Int32Array.of(3, 1, 4, 1, 5), firstTarget: 3 },
      { tokens: Int32Array.of(9, 2, 6), firstTarget: 1 },
    ];
    const batch = packSequences(sequences);
    const { teacher } = await (await makeTeacher(7)).teach(batch);
    expect(teacher).toHaveLength(batch.outputs.length * VOCABULARY);
    const executor = await makeExecutor(7);
    let row = 0;
    for (let i = 0; i + 1 < batch.bounds.length; i++) {
      const [first, end] = [batch.bounds[i], batch.bounds[i + 1]];
      for (const output of batch.outputs.filter((at) => at >= first && at < end)) {
        const alone = await executor.step({
          tokens: batch.tokens.slice(first, output + 1),
          positions: Int32Array.from({ length: output + 1 - first }, (_, position) => position),
          slots: new Int32Array(output + 1 - first),
          outputs: Int32Array.of(output - first),
        });
        const got = teacher?.slice(row * VOCABULARY, ++row * VOCABULARY) ?? [];
        alone.forEach((value, id) => {
          expect(Math.abs(got[id] - value)).toBeLessThan(1e-6);
        });
      }
    }
    expect(row).toBe(batch.outputs.length);
  });

  test("that is the student has nothing to teach", async () => {
    const [report] = await learn(await makeStudent(5), await makeTeacher(5), 1);
    expect(Math.abs(report.teacher)).toBeLessThan(1e-6);
    expect(report.gradientNorm).toBeLessThan(1e-5);
    expect(report.loss).toBeGreaterThan(1);
  });

  test("draws the student near", async () => {
    const reports = await learn(await makeStudent(8), await makeTeacher(9));
    expect(reports[0].teacher).toBeGreaterThan(0);
    expect(reports[reports.length - 1].teacher).toBeLessThan(0.1 * reports[0].teacher);
  });

  test("of a small weight leaves most to the targets", async () => {
    const [taught, mostly] = [await makeStudent(8), await makeStudent(8)];
    const far = await learn(mostly, await makeTeacher(9, 0.01));
    const near = await learn(taught, await makeTeacher(9, 1));
    expect(far[far.length - 1].loss).toBeLessThan(near[near.length - 1].loss - 0.1);
    expect(far[far.length - 1].teacher).toBeGreaterThan(2 * near[near.length - 1].teacher);
  });

  test("is asked at validation too, which stays the loss of the targets", async () => {
    const batch = data().batch(0, 0);
    const student = await makeStudent(8);
    const [one, other] = [await makeTeacher(9), await makeTeacher(10)];
    expect(await meanLoss(student, [batch], one)).toBe(await meanLoss(student, [batch], other));
    await expect(meanLoss(student, [batch])).rejects.toThrow(OptionError);
  });
});

test("the distance is KL(teacher || student): 0.029145119 for (1, 2, 3) and (1, 2, 2.5)", () => {
  const [losses, gradient] = [new Float64Array(1), new Float64Array(3)];
  const [student, teacher] = [Float64Array.of(1, 2, 2.5), Float64Array.of(1, 2, 3)];
  distillation(gradient, losses, student, teacher, 1, 3, 1, 1);
  expect(losses[0]).toBeCloseTo(0.029145119, 8);
  expect(gradient.reduce((sum, value) => sum + value)).toBeCloseTo(0, 12);
});

describe("vocabularies", () => {
  const speaker = (name: string, tokens: string[], vocabularySize = tokens.length) => ({
    name,
    vocabularySize,
    tokenizer: { vocabularySize: tokens.length, tokenText: (id: number) => tokens[id] },
  });

  test("that are the same pass", () => {
    expect(() => checkVocabularies(speaker("s", ["a", "b"], 4), speaker("t", ["a", "b"], 4))).not.toThrow();
  });

  test.each([
    ["another size", ["a", "b"], 3, /vocabulary of 3, expected the student's 2/],
    ["another token", ["a", "c"], 2, /token 1 of the teacher is "c", expected the student's "b"/],
    ["fewer tokens", ["a"], 2, /token 1 of the teacher is undefined/],
  ])("of %s are refused", (_, tokens, size, message) => {
    const check = () => checkVocabularies(speaker("s", ["a", "b"]), speaker("t", tokens, size));
    expect(check).toThrow(OptionError);
    expect(check).toThrow(message);
  });
});
