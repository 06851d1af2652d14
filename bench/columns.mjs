// Decode speed with chosen columns against the dense model of the same file: all models loaded at once, rounds interleaved,
// medians, the roofline and the bytes that the kernels counted in the same run. With --record it appends a row to
// results/columns.jsonl.
//   node bench/columns.mjs --model tinyllama-q8_0.gguf [--densities 0.7,0.5,0.3] [--threads 2] [--rounds 9] [--tokens 12] [--record]
import { statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { loadModelOn } from "../dist/session/load-model.js";
import { nodePlatform } from "../dist/platform/node.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { decodeSpeed, measureInTurns, median, prefillSpeed } from "./subjects.mjs";

/** Tokens of the prompt that is timed. */
const PROMPT_TOKENS = 64;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    densities: { type: "string", default: "0.7,0.5,0.3" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    tokens: { type: "string", default: "12" },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined) {
  console.error(
    "columns: expected --model FILE - make one with `skim synth --shape tinyllama-1.1b --format q8_0`",
  );
  process.exit(2);
}
const [threads, rounds, tokens] = [flags.threads, flags.rounds, flags.tokens].map(Number);
const densities = [undefined, ...flags.densities.split(",").map(Number)];
const platform = nodePlatform();
const before = readLoad();

const subjects = [];
for (const density of densities) {
  const model = await loadModelOn(platform, flags.model, {
    model: { contextLength: 256, density },
    engine: { threads },
  });
  subjects.push({ density, model, values: [], prompts: [] });
}
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor: subjects[0].model.executor,
  timings: subjects.flatMap(({ model, values, prompts }) => [
    { values, measure: () => decodeSpeed(model, tokens) },
    { values: prompts, measure: () => prefillSpeed(model, PROMPT_TOKENS) },
  ]),
});

const settings = subjects.map(({ density, model, values, prompts }) => {
  const { executor } = model;
  const { total, byKind } = executor.readBytes(PROMPT_TOKENS);
  const generated = (rounds + 1) * tokens;
  return {
    density: density ?? null,
    bytesPerToken: total,
    feedForwardBytesPerToken: byKind.feedForward,
    countedColumnBytesPerToken: executor.columnBytesRead() / generated,
    weightBytes: executor.weightBytes,
    decode: { tokensPerSecond: median(values), values },
    prompt: { tokensPerSecond: median(prompts) },
    rooflineShare: (median(values) * total) / (roofline * 1e9),
    ratioToDense: median(values) / median(subjects[0].values),
  };
});
for (const { model } of subjects) await model.dispose();

const row = {
  schema: "columns/1",
  ...describeRun(
    `node bench/columns.mjs --model ${path.basename(flags.model)} --densities ${flags.densities} --threads ${threads} --rounds ${rounds} --tokens ${tokens}`,
    { before, otherCores },
  ),
  model: { file: path.basename(flags.model), fileBytes: statSync(flags.model).size },
  quality: "random weights: none",
  threads,
  peakMemoryBytes: platform.peakMemoryBytes(),
  roofline: { gigabytesPerSecond: roofline },
  settings,
};
for (const { density, bytesPerToken, decode, rooflineShare, ratioToDense } of settings) {
  console.log(
    `${String(density ?? "dense").padEnd(6)} ${decode.tokensPerSecond.toFixed(1)} t/s, ${(bytesPerToken / 1e6).toFixed(0)} MB per token, ${(100 * rooflineShare).toFixed(1)} % of ${roofline.toFixed(1)} GB/s, ${ratioToDense.toFixed(2)} x dense`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) appendRow("columns", row);
process.exit(0);
