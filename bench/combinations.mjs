// Decode speed of combinations of methods on one shape beside skim's dense model and llama.cpp, all in one run: models loaded
// at once, rounds interleaved, medians. The first subject is what the others are compared with, in speed and in bytes. With
// --record it appends a row to results/combinations.jsonl.
//   node bench/combinations.mjs [--threads 2] [--rounds 9] [--tokens 8] [--prompt-tokens 512] [--llama FILE.gguf]... [--record] \
//     q8=tinyllama-q8_0.gguf dip-q4=tinyllama-q4_0.gguf,weightFormat=q4,density=0.5
// --prompt-tokens times a prompt of so many tokens as well, evaluated in one step.
// --llama times llama.cpp on a file in the same rounds, each in a process of its own (needs `npm ci --ignore-scripts` in
// bench/peers).
import path from "node:path";
import { parseArgs } from "node:util";
import { nodePlatform } from "../dist/platform/node.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { llamaDecodeSpeed } from "./peers/llama-decode.mjs";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import {
  decodeSpeed,
  measureInTurns,
  median,
  nameSubjects,
  PROMPT,
  parseSubject,
  prefillSpeed,
  tokenIds,
} from "./subjects.mjs";

/** Positions beside those of a timed prompt. */
const CONTEXT = 256;
/** Position whose token is counted in bytes per token. */
const DEPTH = 64;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    tokens: { type: "string", default: "8" },
    "prompt-tokens": { type: "string", default: "0" },
    llama: { type: "string", multiple: true, default: [] },
    record: { type: "boolean", default: false },
  },
});
if (positionals.length === 0) {
  console.error("combinations: expected NAME=MODEL[,option=value], the dense model first");
  process.exit(2);
}
const [threads, rounds, tokens, promptTokens] = [
  flags.threads,
  flags.rounds,
  flags.tokens,
  flags["prompt-tokens"],
].map(Number);
const contextLength = CONTEXT + promptTokens;
const platform = nodePlatform();
const before = readLoad();

const subjects = [];
for (const positional of positionals) {
  const { name, file, options } = parseSubject("combinations", positional);
  const model = await loadModelOn(platform, file, {
    model: { contextLength, ...options },
    engine: { threads, stepTokens: Math.max(PROMPT, promptTokens) },
  });
  subjects.push({ name, file, options, model, values: [], prompts: [] });
  console.error(`loaded ${name}`);
}
const peers = flags.llama.map((file) => ({ file, values: [], versions: {} }));

const [dense] = subjects;
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor: dense.model.executor,
  timings: [
    ...subjects.flatMap(({ model, values, prompts }) => [
      { values, measure: () => decodeSpeed(model, tokens) },
      ...(promptTokens > 0 ? [{ values: prompts, measure: () => prefillSpeed(model, promptTokens) }] : []),
    ]),
    ...peers.map((peer) => ({ values: peer.values, measure: () => timeLlama(peer), warmUp: false })),
  ],
});

const results = subjects.map(({ name, file, options, model, values, prompts }) => {
  const { total, byKind } = model.executor.readBytes(DEPTH);
  const speed = median(values);
  const ratio = speed / median(dense.values);
  const byteRatio = dense.model.executor.readBytes(DEPTH).total / total;
  return {
    name,
    model: path.basename(file),
    options,
    bytesPerToken: total,
    byKind,
    weightBytes: model.executor.weightBytes,
    decode: { tokensPerSecond: speed, values },
    rooflineShare: (speed * total) / (roofline * 1e9),
    ratio,
    byteRatio,
    ...(promptTokens > 0 && {
      prefill: {
        promptTokens,
        tokensPerSecond: median(prompts),
        values: prompts,
        ratio: median(prompts) / median(dense.prompts),
      },
    }),
  };
});
const llamaCpp = peers.map(({ file, values, versions }) => ({
  model: path.basename(file),
  ...versions,
  decode: { tokensPerSecond: median(values), values },
}));
for (const { model } of subjects) await model.dispose();

console.log(
  `| model | tok/s | read per token | of ${roofline.toFixed(0)} GB/s | x ${dense.name} | by bytes |${llamaCpp.map(({ model }) => ` x llama.cpp, ${model} |`).join("")}`,
);
for (const { name, bytesPerToken, decode: speed, rooflineShare, ratio, byteRatio } of results) {
  const cells = [
    name,
    speed.tokensPerSecond.toFixed(1),
    `${(bytesPerToken / 1e6).toFixed(0)} MB`,
    `${(100 * rooflineShare).toFixed(0)} %`,
    ratio.toFixed(2),
    byteRatio.toFixed(2),
    ...llamaCpp.map((peer) => (speed.tokensPerSecond / peer.decode.tokensPerSecond).toFixed(2)),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
for (const { model, decode: speed } of llamaCpp) {
  console.log(`llama.cpp on ${model}: ${speed.tokensPerSecond.toFixed(1)} tok/s`);
}
for (const { name, prefill } of results) {
  if (prefill === undefined) continue;
  console.log(
    `prompt of ${promptTokens}, ${name}: ${prefill.tokensPerSecond.toFixed(1)} tok/s, x ${prefill.ratio.toFixed(2)}`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) {
  const llama = flags.llama.map((file) => ` --llama ${path.basename(file)}`).join("");
  const prompt = promptTokens > 0 ? ` --prompt-tokens ${promptTokens}` : "";
  const row = {
    schema: "combinations/1",
    ...describeRun(
      `node bench/combinations.mjs --threads ${threads} --rounds ${rounds} --tokens ${tokens}${prompt}${llama} ${nameSubjects(positionals)}`,
      { before, otherCores },
    ),
    quality: "random weights: none",
    threads,
    peakMemoryBytes: platform.peakMemoryBytes(),
    roofline: { gigabytesPerSecond: roofline },
    results,
    llamaCpp,
  };
  appendRow("combinations", row);
}
process.exit(0);

async function timeLlama(peer) {
  const { speed, versions } = await llamaDecodeSpeed({
    model: peer.file,
    threads,
    contextLength: CONTEXT,
    prompt: tokenIds(dense.model.program, PROMPT),
    tokens: 4 * tokens,
  });
  peer.versions = versions;
  return speed;
}
