// Times the feed-forward of one token with chosen columns against the dense kernels, on bare gated units of the
// tinyllama-1.1b shape with random weights: choosing included, all programs loaded at once and run in turns beside the
// bandwidth of the same moment. Takes medians and the best of the repetitions. Needs `npm run build`.
//   node bench/kernels/linear-columns.mjs [--threads 2] [--repetitions 25] [--layers 3] [--record]
import { parseArgs } from "node:util";
import { createWasmExecutor } from "../../dist/executors/wasm/wasm-executor.js";
import { allocateDensities, keptCounts } from "../../dist/methods/dynamic-input-pruning/densities.js";
import { nodePlatform } from "../../dist/platform/node.js";
import { f32 } from "../../dist/quantization/f32.js";
import { readLoad, watchOthers } from "../peers/machine.mjs";
import { appendRow, describeRun } from "../rows.mjs";
import { median } from "../subjects.mjs";
import { bareFile, buffer } from "./bare-model.mjs";

/**
 * @import { Selection } from "../../dist/program/column-ops.js"
 * @import { Op } from "../../dist/program/program.js"
 */

const { values: flags } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    repetitions: { type: "string", default: "25" },
    layers: { type: "string", default: "3" },
    record: { type: "boolean", default: false },
  },
});
const [threads, repetitions, layers] = [flags.threads, flags.repetitions, flags.layers].map(Number);
const [D, F] = [2048, 5632];
const VOCABULARY = 8;
const SUBJECTS = [
  { weights: "q8", density: null },
  { weights: "q8", density: 0.5 },
  { weights: "q8", density: 0.3 },
  { weights: "q4", density: null },
  { weights: "q4", density: 0.5 },
  { weights: "q4", density: 0.3 },
];

const hidden = buffer("hidden", D);
const [gate, up, inner] = ["gate", "up", "inner"].map((name) => buffer(name, F));
const out = buffer("out", D);
const selected = buffer("selected", D, "outputs");
const logits = buffer("logits", VOCABULARY, "outputs");

/** Deterministic values of about normal distribution, of which matrices take pieces. */
const noise = Float32Array.from({ length: 1 << 21 }, (_, i) => {
  const bits = Math.imul(i + 1, 2654435761);
  return ((bits & 0xff) + ((bits >>> 8) & 0xff) + ((bits >>> 16) & 0xff) + (bits >>> 24) - 510) / 5000;
});

function build({ weights, density }) {
  const tensors = [];
  const matrix = (name, rows, columns, format) => {
    const values = (first, count) => {
      const size = count * columns;
      const from = ((first + tensors.length) * 7919) % (noise.length - size);
      return noise.subarray(from, from + size);
    };
    tensors.push({ name, shape: [rows, columns], format, values });
    return { name, rows, columns, tensor: name, firstRow: 0 };
  };
  /** @type {Op[]} */
  const ops = [{ kind: "embed", table: matrix("table", VOCABULARY, D, f32), out: hidden, factor: 1 }];
  const product = (x, width, kept, parts) => {
    if (density === null) {
      for (const { weight, to } of parts) ops.push({ kind: "linear", x, weight, bias: undefined, out: to });
      return;
    }
    /** @type {Selection} */
    const selection = { name: `${x.name} columns`, width, rule: { kind: "topK", count: kept } };
    ops.push({ kind: "selectColumns", x, out: selection });
    ops.push({
      kind: "linearColumns",
      x,
      selection,
      parts: parts.map(({ weight, to }) => ({ weight, bias: undefined, out: to })),
    });
  };
  const kept =
    density === null ? undefined : keptCounts(allocateDensities(density), { width: D, feedForwardWidth: F });
  for (let layer = 0; layer < layers; layer++) {
    product(hidden, D, kept?.input, [
      { weight: matrix(`gate ${layer}`, F, D, f32), to: gate },
      { weight: matrix(`up ${layer}`, F, D, f32), to: up },
    ]);
    ops.push({ kind: "glu", gate, up, out: inner, activation: { kind: "silu" } });
    product(inner, F, kept?.glu, [{ weight: matrix(`down ${layer}`, D, F, f32), to: out }]);
  }
  ops.push({ kind: "selectOutputs", x: out, out: selected });
  ops.push({
    kind: "linear",
    x: selected,
    weight: matrix("head", VOCABULARY, D, f32),
    bias: undefined,
    out: logits,
  });
  return {
    program: { name: weights, contextLength: 8, vocabularySize: VOCABULARY, logits, ops },
    file: bareFile(weights, tensors),
  };
}

async function start(subject) {
  const { program, file } = build(subject);
  const executor = await createWasmExecutor(nodePlatform(), program, file, {
    threads,
    limits: { contextLength: 8, slots: 1, stepTokens: 8 },
    keyValueFormat: "f32",
    weightFormat: subject.weights,
    simd: "auto",
    onProgress: undefined,
  });
  return { ...subject, executor, times: [] };
}

async function time({ executor }, token) {
  const step = {
    tokens: Int32Array.of(token),
    positions: Int32Array.of(0),
    slots: Int32Array.of(0),
    outputs: Int32Array.of(0),
  };
  const startedAt = performance.now();
  await executor.step(step);
  return performance.now() - startedAt;
}

const before = readLoad();
const subjects = [];
for (const subject of SUBJECTS) subjects.push(await start(subject));
const others = watchOthers();
const bandwidths = [];
for (let r = 0; r <= repetitions; r++) {
  bandwidths.push(await subjects[0].executor.measureBandwidth());
  for (const subject of subjects) {
    // Three steps in a row: what another program left in the caches is gone, clocks are up.
    for (let i = 0; i < 3; i++) subject.times.push(await time(subject, (r + i) % VOCABULARY));
    if (r === 0) subject.times.length = 0;
  }
}
const otherCores = others();
const roofline = Math.max(...bandwidths);
const denseOf = (weights) => subjects.find((s) => s.weights === weights && s.density === null);
const results = subjects.map((subject) => {
  const { weights, density, executor, times } = subject;
  const bytes = executor.readBytes(1).total;
  const dense = denseOf(weights).times;
  return {
    weights,
    density,
    bytes,
    medianMs: median(times),
    bestMs: Math.min(...times),
    medianGBs: bytes / median(times) / 1e6,
    bestGBs: bytes / Math.min(...times) / 1e6,
    rooflineShare: bytes / median(times) / 1e6 / median(bandwidths),
    bestRooflineShare: bytes / Math.min(...times) / 1e6 / roofline,
    ratioToDense: median(dense) / median(times),
  };
});
for (const { executor } of subjects) await executor.dispose();
const row = {
  schema: "linear-columns/1",
  ...describeRun(
    `node bench/kernels/linear-columns.mjs --threads ${threads} --repetitions ${repetitions} --layers ${layers}`,
    { before, otherCores },
  ),
  shape: { hidden: D, feedForward: F, layers },
  threads,
  roofline: { medianGBs: median(bandwidths), bestGBs: roofline },
  results,
};
console.log(
  `roofline ${row.roofline.medianGBs.toFixed(1)} GB/s (best ${roofline.toFixed(1)}), other processes kept ${otherCores.toFixed(2)} cores busy`,
);
for (const r of results) {
  console.log(
    `${r.weights.padEnd(4)} ${String(r.density ?? "dense").padEnd(6)} ${r.medianMs.toFixed(2)} ms, ${r.medianGBs.toFixed(1)} GB/s (best ${r.bestGBs.toFixed(1)}), ${(100 * r.rooflineShare).toFixed(0)} % of the roofline (best ${(100 * r.bestRooflineShare).toFixed(0)} %), ${r.ratioToDense.toFixed(2)} x dense`,
  );
}
if (flags.record) appendRow("linear-columns", row);
