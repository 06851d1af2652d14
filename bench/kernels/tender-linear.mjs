// Times the integer products of Tender against the block-scaled kernels of the engine, on bare linears of random
// weights: prefill on one thread in GOP/s, decoding on all threads in GB/s beside the bandwidth measured in turns with it.
// Takes the best of many interleaved repetitions, which other processes disturb least. Needs `npm run build`.
//   node bench/kernels/tender-linear.mjs [--threads 2] [--repetitions 15] [--megabytes 256] [--record]
import { parseArgs } from "node:util";
import { createWasmExecutor } from "../../dist/executors/wasm/wasm-executor.js";
import { vectorTensor } from "../../dist/formats/overlay-file.js";
import { nodePlatform } from "../../dist/platform/node.js";
import { f32 } from "../../dist/quantization/f32.js";
import { i4 } from "../../dist/quantization/i4.js";
import { i8 } from "../../dist/quantization/i8.js";
import { q4_0 } from "../../dist/quantization/q4-0.js";
import { q8_0 } from "../../dist/quantization/q8-0.js";
import { describeMachine, readCommit, readLoad } from "../peers/machine.mjs";
import { appendRow } from "../rows.mjs";
import { bareFile, buffer } from "./bare-model.mjs";

/** @import { ActivationQuantizer, Op, Program } from "../../dist/program/program.js" */

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    repetitions: { type: "string", default: "15" },
    megabytes: { type: "string", default: "256" },
    record: { type: "boolean", default: false },
  },
});
const ROWS = 5632;
const COLUMNS = 2048;
const PREFILL_TOKENS = 128;
const VOCABULARY = 8;

const SCHEMES = [
  { name: "q8 block-scaled", format: q8_0 },
  { name: "W8A8 static", format: i8, limit: 127, groups: 8 },
  { name: "q4 block-scaled", format: q4_0 },
  { name: "W4A8 static, 8 groups", format: i4, limit: 127, groups: 8 },
  { name: "W4A8 static, 1 group", format: i4, limit: 127, groups: 1 },
  { name: "W4A4 static, 5 groups", format: i4, limit: 7, groups: 5 },
  { name: "W4A16 per token", format: i4, limit: 20000 },
];

/** Channels scattered over all groups: half of them in the last one, half of the rest in the one before, and so on. */
function exponentsOf(groups) {
  return Float32Array.from({ length: COLUMNS }, (_, column) =>
    Math.min(groups - 1, Math.clz32(Math.imul(column + 1, 2654435761))),
  );
}

/** embed, `count` linears of one input, a last one of 8 rows for the logits. */
function build(scheme, count) {
  const tensors = [];
  const weight = (name, rows, columns) => ({ name, rows, columns, tensor: name, firstRow: 0 });
  const bytes = new Map();
  const matrix = (name, rows, columns, format) => {
    const fill = (n) => {
      const known = bytes.get(n);
      if (known !== undefined) return known;
      const made = Float32Array.from({ length: n }, (_, i) => ((i * 2654435761) % 15) - 7);
      bytes.set(n, made);
      return made;
    };
    tensors.push({ name, shape: [rows, columns], format, values: (_, n) => fill(n * columns) });
    return weight(name, rows, columns);
  };
  const vector = (name, contents) => {
    tensors.push(vectorTensor(name, f32, contents));
    return { ...weight(name, 1, contents.length) };
  };
  const hidden = buffer("hidden", COLUMNS);
  const out = buffer("out", ROWS);
  const selected = buffer("selected", COLUMNS, "outputs");
  const logits = buffer("logits", VOCABULARY, "outputs");
  const table = matrix("table", VOCABULARY, COLUMNS, f32);
  const scales = vector("scales", new Float32Array(ROWS).fill(0.01));
  /** @type {ActivationQuantizer} */
  const quantizer =
    scheme.groups === undefined
      ? { kind: "dynamic", name: "dynamic", limit: scheme.limit }
      : {
          kind: "static",
          name: "static",
          limit: scheme.limit,
          maxExponent: scheme.groups - 1,
          chunks: 1,
          chunkRows: 1,
          bias: undefined,
          exponents: vector("exponents", exponentsOf(scheme.groups)),
          scales: vector("input scale", Float32Array.of(0.01)),
        };
  /** @returns {Op} */
  const linear = (_, i) => {
    const codes = matrix(`matrix ${i}`, ROWS, COLUMNS, scheme.format);
    if (scheme.limit === undefined) return { kind: "linear", x: hidden, weight: codes, bias: undefined, out };
    const codeBits = scheme.format === i8 ? 8 : 4;
    return { kind: "tenderLinear", x: hidden, codes, codeBits, scales, offset: undefined, quantizer, out };
  };
  /** @type {Program} */
  const program = {
    name: scheme.name,
    contextLength: PREFILL_TOKENS,
    vocabularySize: VOCABULARY,
    logits,
    ops: [
      { kind: "embed", table, out: hidden, factor: 1 },
      ...Array.from({ length: count }, linear),
      { kind: "selectOutputs", x: hidden, out: selected },
      {
        kind: "linear",
        x: selected,
        weight: matrix("head", VOCABULARY, COLUMNS, f32),
        bias: undefined,
        out: logits,
      },
    ],
  };
  return { program, file: bareFile(scheme.name, tensors) };
}

async function start(scheme, count, threads) {
  const { program, file } = build(scheme, count);
  return createWasmExecutor(nodePlatform(), program, file, {
    threads,
    limits: { contextLength: PREFILL_TOKENS, slots: 1, stepTokens: PREFILL_TOKENS },
    keyValueFormat: "f32",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
}

async function time(executor, tokens) {
  const step = {
    tokens: Int32Array.from({ length: tokens }, (_, i) => i % VOCABULARY),
    positions: Int32Array.from({ length: tokens }, (_, i) => i),
    slots: new Int32Array(tokens),
    outputs: Int32Array.of(0),
  };
  const [startedAt, used] = [performance.now(), process.cpuUsage()];
  await executor.step(step);
  const { user, system } = process.cpuUsage(used);
  return { wall: performance.now() - startedAt, processor: (user + system) / 1000 };
}

const repetitions = Number(values.repetitions);
const threads = Number(values.threads);
const rows = [];
for (const scheme of SCHEMES)
  rows.push({
    scheme: scheme.name,
    prefillGops: 0,
    prefillGopsOfProcessorTime: 0,
    decodeGBs: 0,
    decodeMatricesPerSecond: 0,
    rooflineShare: 0,
  });

const prefill = [];
for (const scheme of SCHEMES) prefill.push(await start(scheme, 2, 1));
for (let r = 0; r <= repetitions; r++) {
  for (const [i, executor] of prefill.entries()) {
    const { wall, processor } = await time(executor, PREFILL_TOKENS);
    const operations = (2 * 2 * ROWS * COLUMNS * PREFILL_TOKENS) / 1e6;
    rows[i].prefillGops = Math.max(rows[i].prefillGops, operations / wall);
    rows[i].prefillGopsOfProcessorTime = Math.max(rows[i].prefillGopsOfProcessorTime, operations / processor);
  }
}
for (const executor of prefill) await executor.dispose();

for (const [i, scheme] of SCHEMES.entries()) {
  const perMatrix = ROWS * COLUMNS * (scheme.format.blockBytes / scheme.format.blockSize);
  const count = Math.max(2, Math.round((Number(values.megabytes) * 1e6) / perMatrix));
  const executor = await start(scheme, count, threads);
  let roofline = 0;
  for (let r = 0; r <= repetitions; r++) {
    if (r % 5 === 0) roofline = Math.max(roofline, await executor.measureBandwidth());
    const { wall } = await time(executor, 1);
    // Everything that is stored is read, padding of channel groups included.
    rows[i].decodeGBs = Math.max(rows[i].decodeGBs, executor.weightBytes / wall / 1e6);
    rows[i].decodeMatricesPerSecond = Math.max(rows[i].decodeMatricesPerSecond, (count * 1000) / wall);
  }
  rows[i].rooflineShare = rows[i].decodeGBs / roofline;
  await executor.dispose();
}
const row = {
  schema: "tender-linear/1",
  date: new Date().toISOString(),
  ...readCommit(),
  command: `node bench/kernels/tender-linear.mjs --threads ${threads} --repetitions ${repetitions} --megabytes ${values.megabytes}`,
  machine: describeMachine(),
  load: readLoad(),
  shape: {
    rows: ROWS,
    columns: COLUMNS,
    prefillTokens: PREFILL_TOKENS,
    prefillThreads: 1,
    decodeThreads: threads,
  },
  best: rows,
};
console.log(JSON.stringify(row, undefined, 1));
if (values.record) appendRow("tender-linear", row);
