// Decode speed when only live neurons are read (ProSparse, exact mode) against the dense model of the same file and
// activation: random weights whose FATReLU threshold is set so that a given share of the gates is open. Interleaved rounds,
// medians, the roofline and the bytes that the kernels counted in the same run. With --record it appends a row to
// results/neurons.jsonl.
//   node bench/neurons.mjs --model llama7b-8l-q8_0.gguf [--live 0.11] [--threads 2] [--rounds 9] [--tokens 8] [--llama]
//     [--threshold T] [--predicted 0.18 [--rank 1024]] [--record]
// --threshold takes a threshold found before instead of searching. --predicted adds predictor mode: predictors of random weights
// that choose about that share of the neurons, which has the speed of trained ones and finds nothing.
// --llama times llama.cpp in the same rounds, each in a process of its own (needs `npm ci --ignore-scripts` in bench/peers);
// its model is dense with the file's own activation, which reads the same bytes as skim's dense one.
import { statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { createWasmExecutor } from "../dist/executors/wasm/wasm-executor.js";
import { openModelFile } from "../dist/formats/open-model-file.js";
import { overlayFile } from "../dist/formats/overlay-file.js";
import { exactCeiling, predictorCeiling } from "../dist/methods/prosparse/cost.js";
import { predictorTensors } from "../dist/methods/prosparse/recipe.js";
import { rewriteNeurons, sparseLayers } from "../dist/methods/prosparse/rewrite.js";
import { measureSparsity, withActivation } from "../dist/methods/prosparse/sparsity.js";
import { thresholdActivation } from "../dist/methods/prosparse/thresholds.js";
import { loadProgram } from "../dist/models/registry.js";
import { nodePlatform } from "../dist/platform/node.js";
import { q8_0 } from "../dist/quantization/q8-0.js";
import { RandomSource } from "../dist/session/random.js";
import { llamaDecodeSpeed } from "./peers/llama-decode.mjs";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { measureInTurns, median, tokenAt, tokenIds } from "./subjects.mjs";

const CONTEXT = 256;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    live: { type: "string", default: "0.11" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    tokens: { type: "string", default: "8" },
    threshold: { type: "string" },
    predicted: { type: "string" },
    rank: { type: "string", default: "1024" },
    llama: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined) {
  console.error(
    "neurons: expected --model FILE - make one with `skim synth --shape llama-7b --layers 8 --format q8_0`",
  );
  process.exit(2);
}
const [live, threads, rounds, tokens] = [flags.live, flags.threads, flags.rounds, flags.tokens].map(Number);
const platform = nodePlatform();
const before = readLoad();
const file = await openModelFile(platform, flags.model);
const { program } = await loadProgram(file, { contextLength: CONTEXT });
const segments = [{ tokens: tokenIds(program, 32) }];

const rank = Number(flags.rank);
const { neurons, width } = feedForwardShape();
const threshold = flags.threshold === undefined ? await findThreshold() : Number(flags.threshold);
const dense = withActivation(program, thresholdActivation(threshold));
const { layers } = await liveShares(dense);
const shares = sparseLayers(dense).map((layer, i) => ({ layer, liveShare: layers[i] }));
const sparse = rewriteNeurons(dense, { method: "prosparse", version: 1, layers: shares });
const settings = [
  { name: "dense", rewritten: dense, source: file },
  { name: "exact", rewritten: sparse, source: file },
];
if (flags.predicted !== undefined) settings.push(plantPredictors(Number(flags.predicted)));
const subjects = [];
for (const { name, rewritten, source } of settings) {
  const executor = await createWasmExecutor(platform, rewritten, source, {
    threads,
    limits: { contextLength: CONTEXT, slots: 1, stepTokens: 32 },
    keyValueFormat: "f16",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  subjects.push({ name, executor, values: [] });
}

const llama = { values: [], versions: {} };
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor: subjects[0].executor,
  timings: [
    ...subjects.map(({ executor, values }) => ({ values, measure: () => decode(executor) })),
    ...(flags.llama ? [{ values: llama.values, measure: timeLlama, warmUp: false }] : []),
  ],
});

async function decode(executor) {
  const step = (token, position) =>
    executor.step({
      tokens: Int32Array.of(token),
      positions: Int32Array.of(position),
      slots: Int32Array.of(0),
      outputs: Int32Array.of(0),
    });
  await step(tokenAt(program, 0), 0);
  const started = performance.now();
  for (let t = 1; t <= tokens; t++) await step(tokenAt(program, t), t);
  return (1000 * tokens) / (performance.now() - started);
}

/**
 * The program with a predictor of random weights in every layer. Logits are sums over `rank` hidden values of uniform weights
 * less `shift`: with normal hidden values, of which ReLU leaves half, they pass 0 where a normal
 * number passes the quantile.
 */
function plantPredictors(share) {
  const shift = (normalQuantile(1 - share) * Math.sqrt(Math.PI / 3)) / Math.sqrt(rank);
  const rowsOf = (columns, offset) => (first, count) => {
    const random = new RandomSource(first + 1);
    return Float32Array.from({ length: count * columns }, () => 2 * random.nextUnit() - 1 - offset);
  };
  const tensors = shares.flatMap(({ layer }) => {
    const { inner, outer } = predictorTensors(layer);
    return [
      { name: inner, shape: [rank, width], format: q8_0, values: rowsOf(width, 0) },
      { name: outer, shape: [neurons, rank], format: q8_0, values: rowsOf(rank, shift) },
    ];
  });
  const source = overlayFile(file, tensors, undefined);
  const predictor = { rank, predictedShare: share, recall: 0 };
  const layers = shares.map((facts) => ({ ...facts, predictor }));
  const rewritten = rewriteNeurons(dense, { method: "prosparse", version: 1, layers }, source.tensors);
  return { name: "predicted", rewritten, source };
}

/** Bisects the normal distribution function, itself by Abramowitz and Stegun 7.1.26 (error at most 1.5e-7). */
function normalQuantile(share) {
  const below = (z) => {
    const t = 1 / (1 + (0.3275911 * Math.abs(z)) / Math.SQRT2);
    const terms = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const tail = terms.reduce((sum, term) => (sum + term) * t, 0) * Math.exp((-z * z) / 2);
    return z < 0 ? tail / 2 : 1 - tail / 2;
  };
  let [low, high] = [-6, 6];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

async function timeLlama() {
  const { speed, versions } = await llamaDecodeSpeed({
    model: flags.model,
    threads,
    contextLength: CONTEXT,
    prompt: tokenIds(program, 3),
    tokens: 4 * tokens,
  });
  llama.versions = versions;
  return speed;
}

/** Predictor mode against both others; the share of chosen neurons is what the kernels counted. */
function describePredictor() {
  const [, exact, predicted] = results;
  const { blockBytes, blockSize } = q8_0;
  const neuronBytes = (3 * shares.length * neurons * width * blockBytes) / blockSize;
  const predictedShare = predicted.countedBytesPerToken / neuronBytes;
  const ownBytes = (shares.length * rank * (neurons + width) * blockBytes) / blockSize;
  const ceiling = predictorCeiling(1 - predictedShare, feedForwardShare, ownBytes / reads[0].total);
  const ratio = speeds[2] / speeds[0];
  const ratioToExact = predicted.decode.tokensPerSecond / exact.decode.tokensPerSecond;
  return { rank, predictedShare, ceiling, ratio, ceilingShare: ratio / ceiling, ratioToExact };
}

/** Neurons of a layer, and the width that they read and write. */
function feedForwardShape() {
  const [{ weight }] = program.ops
    .filter((op) => op.kind === "linear")
    .filter(({ weight: { rows, columns } }) => rows > columns);
  return { neurons: weight.rows, width: weight.columns };
}

/** Shares of open gates per layer. */
async function liveShares(activated) {
  const report = await measureSparsity(platform, file, activated, { segments, of: "gates", threads });
  return { mean: 1 - report.sparsity, layers: report.layers.map((closed) => 1 - closed) };
}

/** Bisects for the threshold that leaves `live` of the gates open. */
async function findThreshold() {
  let [low, high] = [0, 16];
  for (let i = 0; i < 9; i++) {
    const middle = (low + high) / 2;
    const { mean } = await liveShares(withActivation(program, thresholdActivation(middle)));
    console.error(`threshold ${middle.toFixed(4)}: ${(100 * mean).toFixed(2)} % live`);
    if (Math.abs(mean - live) < 0.0015) return middle;
    if (mean > live) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const reads = subjects.map(({ executor }) => executor.readBytes(tokens >> 1));
const feedForwardShare = reads[0].byKind.feedForward / reads[0].total;
const meanLive = shares.reduce((sum, { liveShare }) => sum + liveShare, 0) / shares.length;
const ceiling = exactCeiling(1 - meanLive, feedForwardShare);
const speeds = subjects.map(({ values }) => median(values));
const results = subjects.map(({ name, executor, values }, i) => ({
  name,
  bytesPerToken: reads[i].total,
  countedBytesPerToken: executor.columnBytesRead() / ((rounds + 1) * (tokens + 1)),
  decode: { tokensPerSecond: speeds[i], values },
  rooflineShare: (speeds[i] * reads[i].total) / (roofline * 1e9),
}));
for (const { executor } of subjects) await executor.dispose();
await file.close();
const predictor = flags.predicted === undefined ? undefined : describePredictor();

const row = {
  schema: "neurons/1",
  ...describeRun(
    `node bench/neurons.mjs --model ${path.basename(flags.model)} --live ${live} --threads ${threads} --rounds ${rounds} --tokens ${tokens}${flags.threshold === undefined ? "" : ` --threshold ${threshold}`}${predictor === undefined ? "" : ` --predicted ${flags.predicted} --rank ${rank}`}${flags.llama ? " --llama" : ""}`,
    { before, otherCores },
  ),
  model: { file: path.basename(flags.model), fileBytes: statSync(flags.model).size },
  quality: "random weights: none",
  threads,
  peakMemoryBytes: platform.peakMemoryBytes(),
  roofline: { gigabytesPerSecond: roofline },
  threshold,
  liveShare: meanLive,
  feedForwardShare,
  ceiling,
  ratio: speeds[1] / speeds[0],
  ceilingShare: speeds[1] / speeds[0] / ceiling,
  results,
  ...(predictor !== undefined && { predictor }),
  ...(flags.llama && {
    llamaCpp: {
      ...llama.versions,
      decode: { tokensPerSecond: median(llama.values), values: llama.values },
      ratioOfDense: speeds[0] / median(llama.values),
      ratioOfExact: speeds[1] / median(llama.values),
    },
  }),
};
for (const { name, bytesPerToken, decode, rooflineShare } of results) {
  console.log(
    `${name.padEnd(9)} ${decode.tokensPerSecond.toFixed(1)} t/s, ${(bytesPerToken / 1e6).toFixed(0)} MB per token, ${(100 * rooflineShare).toFixed(1)} % of ${roofline.toFixed(1)} GB/s`,
  );
}
console.log(
  `${(100 * meanLive).toFixed(2)} % live: ${row.ratio.toFixed(3)} x dense, ceiling ${ceiling.toFixed(3)}, ${(100 * row.ceilingShare).toFixed(1)} % of it`,
);
if (predictor !== undefined) {
  const { predictedShare, ratio, ceiling, ceilingShare, ratioToExact } = predictor;
  console.log(
    `${(100 * predictedShare).toFixed(2)} % predicted by rank ${rank}: ${ratio.toFixed(3)} x dense, ceiling ${ceiling.toFixed(3)}, ${(100 * ceilingShare).toFixed(1)} % of it, ${ratioToExact.toFixed(3)} x exact`,
  );
}
if (row.llamaCpp !== undefined) {
  const { decode, ratioOfDense, ratioOfExact } = row.llamaCpp;
  console.log(
    `llama.cpp ${decode.tokensPerSecond.toFixed(1)} t/s: dense ${ratioOfDense.toFixed(2)} x, exact ${ratioOfExact.toFixed(2)} x of it`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) appendRow("neurons", row);
process.exit(0);
