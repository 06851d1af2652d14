// What benches that take models as NAME=MODEL[,option=value] share: reading them, their speeds, rounds in turns, and medians.
import { summarize } from "../dist/evaluation/statistics.js";
import { WasmExecutor } from "../dist/executors/wasm/wasm-executor.js";
import { extend } from "../dist/session/sequence-steps.js";
import { watchOthers } from "./peers/machine.mjs";

/** @import { Executor } from "../dist/executors/executor.js" */

/** Tokens before the timed ones. */
export const PROMPT = 16;

/** Name, file, and options as loadModel has them; `bench` says what it expected and exits where there is no name. */
export function parseSubject(bench, positional) {
  const [, name, file, rest] = /^([^=]+)=([^,]+)(?:,(.*))?$/.exec(positional) ?? [];
  if (name === undefined) {
    console.error(`${bench}: ${positional}, expected NAME=MODEL[,option=value]`);
    process.exit(2);
  }
  const entries = (rest ?? "")
    .split(",")
    .filter(Boolean)
    .map((entry) => entry.split("="))
    .map(([key, value]) => [key, Number.isNaN(Number(value)) ? value : Number(value)]);
  return { name, file, options: Object.fromEntries(entries) };
}

/** Name and folder, for benches that load models as they are. */
export function parseFolder(bench, positional) {
  const { name, file, options } = parseSubject(bench, positional);
  if (Object.keys(options).length > 0) {
    console.error(`${bench}: ${positional}, expected NAME=FOLDER without options`);
    process.exit(2);
  }
  return { name, folder: file };
}

/** The subjects as a row's command states them: without the folders that models lie in. */
export function nameSubjects(positionals) {
  return positionals.map((positional) => positional.replace(/=[^,]*\//, "=")).join(" ");
}

/** The token that benches put at a position: any, but the same for all programs of one vocabulary. */
export function tokenAt(program, position) {
  return (17 * position + 5) % program.vocabularySize;
}

export function tokenIds(program, count) {
  return Array.from({ length: count }, (_, position) => tokenAt(program, position));
}

/** Tokens per second of one sequence, `tokens` long, behind a short prompt. */
export function decodeSpeed(model, tokens) {
  return model.withSequence(async (sequence, queue) => {
    const prompt = tokenIds(model.program, PROMPT);
    sequence.tokens.length = 0;
    const piece = { tokens: prompt, outputs: [PROMPT - 1], prompt: true };
    await extend(queue, sequence, piece, undefined, () => undefined);
    const started = performance.now();
    for (const id of tokenIds(model.program, tokens)) {
      await extend(queue, sequence, { tokens: [id], outputs: [0] }, undefined, () => undefined);
    }
    return (1000 * tokens) / (performance.now() - started);
  });
}

/** Tokens per second of a prompt of `tokens`, evaluated in one step. */
export function prefillSpeed(model, tokens) {
  return model.withSequence(async (sequence, queue) => {
    sequence.tokens.length = 0;
    const started = performance.now();
    const piece = { tokens: tokenIds(model.program, tokens), outputs: [tokens - 1], prompt: true };
    await extend(queue, sequence, piece, undefined, () => undefined);
    return (1000 * tokens) / (performance.now() - started);
  });
}

/**
 * Measures in turns, so that a machine that drifts treats all alike: a round that warms up and does not count, then `rounds` that
 * do. Each of `timings` has the `values` that what it `measure`s goes to; `warmUp` false leaves it out of the first round. The
 * roofline is the best bandwidth of `executor`, which reads memory before each round (0 where there is none).
 * @param {{
 *   rounds: number,
 *   executor?: Executor,
 *   timings: readonly { values: number[], measure: () => Promise<number>, warmUp?: boolean }[],
 * }} run
 */
export async function measureInTurns({ rounds, executor, timings }) {
  const others = watchOthers();
  let roofline = 0;
  for (let round = 0; round <= rounds; round++) {
    if (executor instanceof WasmExecutor) roofline = Math.max(roofline, await executor.measureBandwidth());
    for (const { values, measure, warmUp = true } of timings) {
      if (round === 0 && !warmUp) continue;
      const value = await measure();
      if (round > 0) values.push(value);
    }
  }
  return { roofline, otherCores: others() };
}

export function median(values) {
  return summarize(values).median;
}
