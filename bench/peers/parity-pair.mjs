// One model through both engines: writes its GGUF file, scores the same tokens in two child processes, compares.
import path from "node:path";
import { runInChild } from "./child-process.mjs";
import { CONTEXT_LENGTH, fixedTokens } from "./parity-cases.mjs";
import { importSkim } from "./skim-build.mjs";

export const POSITIONS = 64;
export const GREEDY_COUNT = 64;
const PROMPT_LENGTH = 8;
const SEED = 7;
/** Below this deviation of the log-probabilities a model would agree with anything. */
const LEAST_SPREAD = 0.3;

/** Weights and cache are stored in the same format. */
export const FORMATS = ["f32", "f16"];

/**
 * @param {string} folder for the model file
 * @param {import("./parity-cases.mjs").ParityCase} parityCase
 * @param {"f32" | "f16"} format
 * @param {{ executor: string, threads: number, tolerance: number }} options
 */
export async function comparePair(folder, parityCase, format, options) {
  const { compareGreedy, compareLogits } = await importSkim("evaluation/agreement.js");
  const { path: model, vocabularySize } = await writeModel(folder, parityCase, format);
  const job = {
    model,
    vocabularySize,
    contextLength: CONTEXT_LENGTH,
    keyValueFormat: format,
    threads: options.threads,
    tokens: fixedTokens(POSITIONS),
    promptLength: PROMPT_LENGTH,
    greedyCount: GREEDY_COUNT,
  };
  const theirs = await runInChild("llama-cpp-scores.mjs", job);
  const ours = await runInChild("skim-scores.mjs", { ...job, executor: options.executor });
  const text = compareLogits(ours.logits, theirs.logits, vocabularySize);
  const greedy = compareGreedy(ours.greedyIds, theirs.greedyIds, theirs.greedyLogits, vocabularySize);
  // The row in which the ids part still has the same history.
  const values = Math.min(greedy.equalIds + 1, greedy.count) * vocabularySize;
  const decoded = compareLogits(
    ours.greedyLogits.subarray(0, values),
    theirs.greedyLogits.subarray(0, values),
    vocabularySize,
  );
  const problems = findProblems(text, decoded, greedy, options.tolerance);
  return {
    model: parityCase.title,
    format,
    text,
    decoded,
    greedy,
    problems,
    llamaCpp: theirs.versions.release,
  };
}

async function writeModel(folder, { family, changes }, format) {
  const { createSyntheticCheckpoint, writeSyntheticGguf } = await importSkim(
    "models/synthetic/checkpoint.js",
  );
  const { syntheticShape } = await importSkim("models/synthetic/shape.js");
  const { createFileSink } = await importSkim("platform/node.js");
  const { [format]: storage } = await importSkim(`quantization/${format}.js`);
  const shape = syntheticShape(family, changes);
  const checkpoint = createSyntheticCheckpoint(family, shape, SEED);
  const file = path.join(folder, `${checkpoint.name}-${format}.gguf`);
  await writeSyntheticGguf(checkpoint, await createFileSink(file), storage);
  return { path: file, vocabularySize: shape.vocabularySize };
}

function findProblems(text, decoded, greedy, tolerance) {
  const problems = [];
  if (!(text.worstDifference <= tolerance)) {
    problems.push(`text differs at position ${text.worstPosition}, token ${text.worstToken}`);
  }
  if (!(decoded.worstDifference <= tolerance)) {
    problems.push(`decoding differs at step ${decoded.worstPosition}, token ${decoded.worstToken}`);
  }
  // Two candidates that are each off by at most the tolerance can swap only when they are this near.
  if (greedy.margin !== undefined && !(greedy.margin <= 2 * tolerance)) {
    problems.push(`greedy id ${greedy.equalIds} differs by ${greedy.margin.toFixed(4)} nats`);
  }
  if (text.spread < LEAST_SPREAD) {
    problems.push(`distribution too flat to compare (spread ${text.spread.toFixed(2)})`);
  }
  return problems;
}
