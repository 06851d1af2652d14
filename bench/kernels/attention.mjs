// Times attention over stated spans against attention over the whole context: a program of nothing but the attention of a
// shape's layers, each with a cache of its own, so that together they lie in memory and not in the processor. A step that
// sees only itself is subtracted. One thread, processor time (so that other processes disturb little), settings interleaved,
// medians, spans of several lengths beside each other. Needs `npm run build`.
//   node bench/kernels/attention.mjs [--heads 32 --kv-heads 4 --width 64 --layers 22] [--contexts 1024,4096,16384]
//     [--shares 0.25,0.1] [--spans 64,256,1024] [--kv-format f16] [--rounds 15] [--record]
import { parseArgs } from "node:util";
import { createWasmExecutor } from "../../dist/executors/wasm/wasm-executor.js";
import { nodePlatform } from "../../dist/platform/node.js";
import { countPositions, mergeIntervals } from "../../dist/program/intervals.js";
import { keyValueRowBytes } from "../../dist/program/key-value-format.js";
import { f32 } from "../../dist/quantization/f32.js";
import { describeMachine, readCommit, readLoad } from "../peers/machine.mjs";
import { appendRow } from "../rows.mjs";
import { measureInTurns, median } from "../subjects.mjs";
import { spanSettings } from "../visible-spans.mjs";
import { bareFile, buffer } from "./bare-model.mjs";

/**
 * @import { KeyValueFormat } from "../../dist/program/key-value-format.js"
 * @import { EmbedOp, Op, Program } from "../../dist/program/program.js"
 */

const VOCABULARY = 8;
const FILL = 256;

const { values: flags } = parseArgs({
  options: {
    heads: { type: "string", default: "32" },
    "kv-heads": { type: "string", default: "4" },
    width: { type: "string", default: "64" },
    layers: { type: "string", default: "22" },
    contexts: { type: "string", default: "1024,4096,16384" },
    shares: { type: "string", default: "0.25,0.1" },
    spans: { type: "string", default: "64,256,1024" },
    "kv-format": { type: "string", default: "f16" },
    rounds: { type: "string", default: "15" },
    record: { type: "boolean", default: false },
  },
});
const list = (text) => text.split(",").map(Number);
const [heads, kvHeads, width, layers] = [flags.heads, flags["kv-heads"], flags.width, flags.layers].map(
  Number,
);
const rounds = Number(flags.rounds);
const [contexts, shares, spans] = [list(flags.contexts), list(flags.shares), list(flags.spans)];
const longest = Math.max(...contexts);
const keyValueFormat = /** @type {KeyValueFormat} */ (flags["kv-format"]);

const executor = await start();
await fill();
const settings = spanSettings(contexts, shares, spans, 1).map(({ visible, ...setting }) => ({
  ...setting,
  visible: visible && mergeIntervals([...visible, { start: setting.context, end: setting.context + 1 }]),
}));
const { otherCores } = await measureInTurns({
  rounds,
  timings: settings.map((setting) => ({ values: setting.values, measure: () => attend(setting) })),
});
await executor.dispose();

const results = contexts.flatMap((context) => {
  const here = settings.filter((setting) => setting.context === context);
  const of = (wanted) => median(here.find(({ share }) => share === wanted).values);
  return here
    .filter(({ share }) => share > 0)
    .map(({ share, span, visible, values }) => {
      const whole = [{ start: 0, end: context + 1 }];
      const bytes = readBytes(visible ?? whole);
      const milliseconds = median(values) - of(0);
      return {
        context,
        share,
        span,
        positions: countPositions(visible ?? whole),
        milliseconds,
        gigabytesPerSecond: bytes / milliseconds / 1e6,
        timeRatio: milliseconds / (of(1) - of(0)),
        byteRatio: bytes / readBytes(whole),
      };
    });
});
for (const r of results) {
  const over = (r.timeRatio / r.byteRatio - 1) * 100;
  console.log(
    `${r.context} positions, ${(100 * r.byteRatio).toFixed(1)} % read${r.span === null ? "" : ` in spans of ${r.span}`}: ${r.milliseconds.toFixed(2)} ms, ${r.gigabytesPerSecond.toFixed(1)} GB/s, ${(100 * r.timeRatio).toFixed(1)} % of the time (${over.toFixed(0)} % above its bytes)`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) {
  const row = {
    schema: "attention/1",
    date: new Date().toISOString(),
    ...readCommit(),
    command: `node bench/kernels/attention.mjs --heads ${heads} --kv-heads ${kvHeads} --width ${width} --layers ${layers} --contexts ${flags.contexts} --shares ${flags.shares} --spans ${flags.spans} --kv-format ${keyValueFormat} --rounds ${rounds}`,
    machine: describeMachine(),
    load: { ...readLoad(), otherCores },
    keyValueFormat,
    results,
  };
  appendRow("attention", row);
}
process.exit(0);

/** What the kernel reads of intervals: keys in whole panels of 8 positions, values too where they are bytes. */
function readBytes(intervals) {
  const panels = intervals.reduce(
    (sum, { start, end }) => sum + 8 * (Math.ceil(end / 8) - Math.floor(start / 8)),
    0,
  );
  const values = keyValueFormat === "q8" ? panels : countPositions(intervals);
  return layers * kvHeads * keyValueRowBytes(keyValueFormat, width) * (panels + values);
}

/** embed of a query, a key and a value; `layers` of attention over caches of their own; logits of the last. */
function start() {
  const tensors = [];
  const table = (name, rows, columns) => {
    const contents = Float32Array.from(
      { length: rows * columns },
      (_, i) => (((i * 2654435761) >>> 8) % 15) / 7 - 1,
    );
    tensors.push({
      name,
      shape: [rows, columns],
      format: f32,
      values: (first, n) => contents.subarray(first * columns, (first + n) * columns),
    });
    return { name, rows, columns, tensor: name, firstRow: 0 };
  };
  const query = buffer("query", heads * width);
  const key = buffer("key", kvHeads * width);
  const value = buffer("value", kvHeads * width);
  const out = buffer("out", heads * width);
  const selected = buffer("selected", heads * width, "outputs");
  const logits = buffer("logits", VOCABULARY, "outputs");
  /** @returns {EmbedOp} */
  const embed = (name, to) => ({
    kind: "embed",
    table: table(name, VOCABULARY, to.width),
    out: to,
    factor: 1,
  });
  /** @returns {Op[]} */
  const layer = (_, i) => {
    const cache = { name: `layers.${i}`, kvHeads, headWidth: width };
    return [
      { kind: "storeKeyValue", key, value, cache },
      { kind: "attention", query, cache, out, heads, scale: width ** -0.5, window: undefined },
    ];
  };
  /** @type {Program} */
  const program = {
    name: "attention",
    contextLength: longest + 1,
    vocabularySize: VOCABULARY,
    logits,
    ops: [
      embed("queries", query),
      embed("keys", key),
      embed("values", value),
      ...Array.from({ length: layers }, layer).flat(),
      { kind: "selectOutputs", x: out, out: selected },
      {
        kind: "linear",
        x: selected,
        weight: table("head", VOCABULARY, heads * width),
        bias: undefined,
        out: logits,
      },
    ],
  };
  return createWasmExecutor(nodePlatform(), program, bareFile(program.name, tensors), {
    threads: 1,
    limits: { contextLength: longest + 1, slots: 1, stepTokens: FILL },
    keyValueFormat,
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
}

/** What a position sees while the caches are filled does not matter: itself. */
async function fill() {
  for (let first = 0; first < longest; first += FILL) {
    const positions = Int32Array.from({ length: Math.min(FILL, longest - first) }, (_, i) => first + i);
    await executor.step({
      tokens: positions.map((position) => position % VOCABULARY),
      positions,
      slots: new Int32Array(positions.length),
      outputs: new Int32Array(),
      visible: [...positions].map((position) => [{ start: position, end: position + 1 }]),
    });
  }
}

/** Milliseconds of processor time of a step of one token behind `context` positions. */
async function attend({ context, visible }) {
  const started = process.cpuUsage();
  await executor.step({
    tokens: Int32Array.of(3),
    positions: Int32Array.of(context),
    slots: new Int32Array(1),
    outputs: Int32Array.of(0),
    ...(visible && { visible: [visible] }),
  });
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1000;
}
