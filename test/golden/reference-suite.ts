/**
 * Golden checks against models and outputs that nobody here made, written once for any executor: logits and mean NLL
 * along a given text, greedy continuations token by token.
 * Data: karpathy's stories260K run by his own run.c, a tiny random Llama 2, and quantized forms of the first.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Executor, ExecutorOptions } from "../../src/executors/executor.ts";
import { openModelFile } from "../../src/formats/open-model-file.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { Program } from "../../src/program/program.ts";
import { dataPath, describeWithData } from "../shared-data.ts";

/** Makes the executor under test. */
export type ExecutorFactory = (
  program: Program,
  file: ModelFile,
  options: ExecutorOptions,
) => Promise<Executor>;

export const F32_OPTIONS: Omit<ExecutorOptions, "limits"> = {
  threads: 1,
  keyValueFormat: "f32",
  weightFormat: "auto",
  simd: "auto",
  onProgress: undefined,
};

/** Context of all golden runs; the longest text has 512 tokens. */
const CONTEXT = 512;
/** Tokens per step: splits the long texts into steps of unequal length. */
const STEP_TOKENS = 200;

interface GoldenText {
  readonly model: readonly string[];
  readonly tokens: readonly string[];
  readonly logits: readonly string[];
  readonly vocabulary: number;
  /** Mean of -log p(next) over the n - 1 predictions inside the text, as run.c states it. */
  readonly meanNll: number;
  /** File format of a quantized model's matrices. */
  readonly quantized: QuantizedFormat | undefined;
}

export type QuantizedFormat = "q8_0" | "q4_0" | "q4_1" | "q5_1";

export interface Tolerances {
  /** Largest difference of any logit. */
  readonly logits: number;
  /** Largest difference of the mean NLL. */
  readonly nll: number;
}

/** What the logits of run.c and of f64 sums agree to. */
export const F32_TOLERANCES: Tolerances = { logits: 1e-3, nll: 1e-4 };

const STORIES = ["models", "stories260K", "stories260K.gguf"];
const TINY_LLAMA = ["models", "llama-2-tiny-random", "llama-2-tiny-random.gguf"];

const TEXTS: readonly (readonly [string, GoldenText])[] = [
  ["stories260K, text_a", storiesText("text_a", 1.315989)],
  ["stories260K, text_wiki", storiesText("text_wiki", 5.424342)],
  [
    "llama-2-tiny-random",
    {
      model: TINY_LLAMA,
      tokens: ["reference", "llama-2-tiny-random", "text.tokens.i32"],
      logits: ["reference", "llama-2-tiny-random", "text.logits.f32"],
      vocabulary: 32000,
      meanNll: meanOfNllFile("reference", "llama-2-tiny-random", "text.nll.txt"),
      quantized: undefined,
    },
  ],
  ["stories260K q8_0", quantizedText("q8_0", 1.316891)],
  ["stories260K q4_0", quantizedText("q4_0", 1.363738)],
  ["stories260K q4_1", quantizedText("q4_1", 1.378808)],
  ["stories260K q5_1", quantizedText("q5_1", 1.360591)],
];

function storiesText(name: string, meanNll: number): GoldenText {
  return {
    model: STORIES,
    tokens: ["reference", "stories260K", `${name}.tokens.i32`],
    logits: ["reference", "stories260K", `${name}.logits.f32`],
    vocabulary: 512,
    meanNll,
    quantized: undefined,
  };
}

function quantizedText(format: QuantizedFormat, meanNll: number): GoldenText {
  return {
    ...storiesText("text_a", meanNll),
    model: ["quantized", `stories260K-${format}.gguf`],
    logits: ["quantized", `stories260K-${format}.text_a.logits.f32`],
    quantized: format,
  };
}

function meanOfNllFile(...parts: string[]): number {
  let text: string;
  try {
    text = readFileSync(dataPath(...parts), "utf8");
  } catch {
    return Number.NaN; // without the data the test that uses it is skipped
  }
  const values = text
    .trim()
    .split("\n")
    .map((line) => Number(line.split(" ")[2]));
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** How an executor's results may differ from f32 arithmetic on the decoded weights. */
export interface GoldenBounds {
  /** Bounds of the texts whose weights the executor multiplies as the file's floats. */
  readonly floats: Tolerances;
  /** Bounds by file format of the quantized models. */
  readonly quantized: Readonly<Record<QuantizedFormat, Tolerances>>;
  /** Whether 200 greedy tokens of the float models must be the reference's. */
  readonly greedy: boolean;
}

const EXACT: GoldenBounds = {
  floats: F32_TOLERANCES,
  quantized: { q8_0: F32_TOLERANCES, q4_0: F32_TOLERANCES, q4_1: F32_TOLERANCES, q5_1: F32_TOLERANCES },
  greedy: true,
};

/** Registers the suite for one executor; without bounds it must compute as exactly as f32 allows. */
export function describeGolden(name: string, create: ExecutorFactory, bounds: GoldenBounds = EXACT): void {
  describeWithData(`golden: ${name} executor`, () => {
    for (const [title, text] of TEXTS) {
      const tolerances = text.quantized === undefined ? bounds.floats : bounds.quantized[text.quantized];
      test(`logits and NLL of ${title}`, () => checkText(create, text, tolerances));
    }
    if (!bounds.greedy) return;
    test("greedy tokens of stories260K", () => checkGreedy(create, STORIES, "stories260K"));
    test("greedy tokens of llama-2-tiny-random", () =>
      checkGreedy(create, TINY_LLAMA, "llama-2-tiny-random"));
  });
}

async function checkText(create: ExecutorFactory, text: GoldenText, bounds: Tolerances): Promise<void> {
  const tokens = readInt32(...text.tokens);
  const expected = readFloat32(...text.logits); // [n, V]
  await withExecutor(create, text.model, async (executor) => {
    const logits = await runText(executor, tokens); // [n, V]
    expect(logits.length).toBe(expected.length);
    let worst = 0;
    for (let i = 0; i < logits.length; i++) {
      worst = Math.max(worst, Math.abs(logits[i] - expected[i]));
    }
    expect(worst).toBeLessThan(bounds.logits);
    expect(Math.abs(meanNll(logits, tokens, text.vocabulary) - text.meanNll)).toBeLessThan(bounds.nll);
  });
}

async function checkGreedy(create: ExecutorFactory, model: readonly string[], folder: string): Promise<void> {
  const lines = readFileSync(dataPath("reference", folder, "greedy.jsonl"), "utf8")
    .trim()
    .split("\n");
  expect(lines.length).toBeGreaterThan(0);
  await withExecutor(create, model, async (executor) => {
    for (const line of lines) {
      const { prompt_tokens: prompt, greedy_tokens: expected } = JSON.parse(line) as {
        prompt_tokens: number[];
        greedy_tokens: number[];
      };
      expect(await continueGreedily(executor, prompt, expected.length)).toEqual(expected);
    }
  });
}

/** Logits of every position, prefilled in steps. */
async function runText(executor: Executor, tokens: Int32Array): Promise<Float32Array> {
  const { vocabularySize } = executor.program;
  const all = new Float32Array(tokens.length * vocabularySize);
  for (let first = 0; first < tokens.length; first += STEP_TOKENS) {
    const part = tokens.subarray(first, first + STEP_TOKENS);
    const outputs = Int32Array.from(part, (_, row) => row);
    all.set(await executor.step(stepOf(part, first, outputs)), first * vocabularySize);
  }
  return all;
}

async function continueGreedily(executor: Executor, prompt: number[], count: number): Promise<number[]> {
  const generated: number[] = [];
  let pending = Int32Array.from(prompt);
  let position = 0;
  while (generated.length < count) {
    const logits = await executor.step(stepOf(pending, position, Int32Array.of(pending.length - 1)));
    position += pending.length;
    const next = logits.indexOf(logits.reduce((best, value) => Math.max(best, value)));
    generated.push(next);
    pending = Int32Array.of(next);
  }
  return generated;
}

function stepOf(tokens: Int32Array, first: number, outputs: Int32Array) {
  return {
    tokens,
    positions: Int32Array.from(tokens, (_, row) => first + row),
    slots: new Int32Array(tokens.length),
    outputs,
  };
}

async function withExecutor(
  create: ExecutorFactory,
  model: readonly string[],
  use: (executor: Executor) => Promise<void>,
): Promise<void> {
  const file = await openModelFile(nodePlatform(), dataPath(...model));
  try {
    const limits = { contextLength: CONTEXT, slots: 1, stepTokens: STEP_TOKENS };
    const program = await buildProgram(file);
    const executor = await create(program, file, { ...F32_OPTIONS, limits });
    try {
      await use(executor);
    } finally {
      await executor.dispose();
    }
  } finally {
    await file.close();
  }
}

/** Mean of -log softmax(logits[t])[tokens[t + 1]]. */
function meanNll(logits: Float32Array, tokens: Int32Array, vocabulary: number): number {
  let sum = 0;
  for (let t = 0; t + 1 < tokens.length; t++) {
    const row = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
    const maximum = row.reduce((best, value) => Math.max(best, value));
    const total = row.reduce((partial, value) => partial + Math.exp(value - maximum), 0);
    sum += Math.log(total) - (row[tokens[t + 1]] - maximum);
  }
  return sum / (tokens.length - 1);
}

function readInt32(...parts: string[]): Int32Array {
  const bytes = readFileSync(dataPath(...parts));
  return new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

function readFloat32(...parts: string[]): Float32Array {
  const bytes = readFileSync(dataPath(...parts));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
