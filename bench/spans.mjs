// Decode speed when tokens attend to a share of the context against full attention: contexts filled in one model, settings
// interleaved, medians, spans of several lengths beside each other. Attention time is a step's time less that of a step that
// sees only itself. With --record it appends a row to results/spans.jsonl.
//   node bench/spans.mjs --model tinyllama-q8_0.gguf [--contexts 1024,4096,16384] [--shares 0.25,0.1] [--spans 64]
//     [--sequences 1] [--kv-format f16] [--threads 2] [--rounds 9] [--tokens 6] [--record]
import { statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { speedBound } from "../dist/methods/attention-span/speed-bound.js";
import { countPositions, mergeIntervals } from "../dist/program/intervals.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { nodePlatform } from "../dist/platform/node.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { measureInTurns, median, tokenAt } from "./subjects.mjs";
import { spanSettings } from "./visible-spans.mjs";

/** @import { KeyValueFormat } from "../dist/program/key-value-format.js" */

const FILL = 256;
/** One token in so many is enough to have every page of the caches, which take whole panels of several positions. */
const FILL_STEP = 16;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    contexts: { type: "string", default: "1024,4096,16384" },
    shares: { type: "string", default: "0.25,0.1" },
    spans: { type: "string", default: "64" },
    sequences: { type: "string", default: "1" },
    "kv-format": { type: "string", default: "f16" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    tokens: { type: "string", default: "6" },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined) {
  console.error(
    "spans: expected --model FILE - make one with `skim synth --shape tinyllama-1.1b --format q8_0`",
  );
  process.exit(2);
}
const [sequences, threads, rounds, tokens] = [flags.sequences, flags.threads, flags.rounds, flags.tokens].map(
  Number,
);
const [contexts, shares, spans] = [flags.contexts, flags.shares, flags.spans].map((list) =>
  list.split(",").map(Number),
);
const keyValueFormat = /** @type {KeyValueFormat} */ (flags["kv-format"]);
const platform = nodePlatform();
const before = readLoad();

const longest = Math.max(...contexts);
const model = await loadModelOn(platform, flags.model, {
  model: { contextLength: longest + tokens, keyValueFormat },
  engine: { threads, slots: sequences, stepTokens: Math.max(FILL, sequences) },
});
const { executor } = model;
await fill();

const settings = spanSettings(contexts, shares, spans, null);
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor,
  timings: settings.map((setting) => ({ values: setting.values, measure: () => decode(setting) })),
});

/**
 * Every slot's context, thinly: what positions hold matters to no timing, only that their pages are written. Attention while
 * filling does not matter either, so each token sees only itself.
 */
async function fill() {
  for (let slot = 0; slot < sequences; slot++) {
    for (let first = 0; first < longest; first += FILL * FILL_STEP) {
      const count = Math.min(FILL, Math.ceil((longest - first) / FILL_STEP));
      const positions = Int32Array.from({ length: count }, (_, i) => first + i * FILL_STEP);
      await executor.step({
        tokens: positions.map((position) => tokenAt(model.program, position + slot)),
        positions,
        slots: new Int32Array(count).fill(slot),
        outputs: new Int32Array(),
        prompt: true,
        visible: [...positions].map((position) => [{ start: position, end: position + 1 }]),
      });
      console.error(`filled ${first} of ${longest} positions of sequence ${slot + 1}`);
    }
  }
}

/** Milliseconds per step of one token of each sequence behind `context` positions. */
async function decode({ context, visible }) {
  const started = performance.now();
  for (let t = 0; t < tokens; t++) {
    const position = context + t;
    const row = visible && mergeIntervals([...visible, { start: context, end: position + 1 }]);
    const own = visible?.length === 0 ? [{ start: position, end: position + 1 }] : row;
    await executor.step({
      tokens: Int32Array.from({ length: sequences }, (_, slot) => tokenAt(model.program, position + slot)),
      positions: new Int32Array(sequences).fill(position),
      slots: Int32Array.from({ length: sequences }, (_, slot) => slot),
      outputs: Int32Array.from({ length: sequences }, (_, slot) => slot),
      ...(own && { visible: Array.from({ length: sequences }, () => own) }),
    });
  }
  return (performance.now() - started) / tokens;
}

const weightBytes = executor.readBytes(1).total - executor.readBytes(1).byKind.keyValue;
const positionBytes = executor.readBytes(2).byKind.keyValue - executor.readBytes(1).byKind.keyValue;
const results = contexts.flatMap((context) => {
  const here = settings.filter((setting) => setting.context === context);
  const base = median(here.find(({ share }) => share === 0).values);
  const full = median(here.find(({ share }) => share === null).values);
  return here.slice(0, -1).map(({ share, span, visible, values }) => {
    const milliseconds = median(values);
    const positions = visible === undefined ? context : countPositions(visible);
    const visibleShare = positions / context;
    return {
      context,
      share,
      span,
      positions,
      bytesPerToken: weightBytes / sequences + positions * positionBytes,
      tokensPerSecond: (1000 * sequences) / milliseconds,
      ratioToFull: full / milliseconds,
      bound: speedBound({ weightBytes, sequences, context, positionBytes, visibleShare }),
      attentionMilliseconds: milliseconds - base,
      attentionTimeRatio: (milliseconds - base) / (full - base),
      attentionByteRatio: visibleShare,
      values,
    };
  });
});
await model.dispose();

const row = {
  schema: "spans/1",
  ...describeRun(
    `node bench/spans.mjs --model ${path.basename(flags.model)} --contexts ${flags.contexts} --shares ${flags.shares} --spans ${flags.spans} --sequences ${sequences} --kv-format ${flags["kv-format"]} --threads ${threads} --rounds ${rounds} --tokens ${tokens}`,
    { before, otherCores },
  ),
  model: { file: path.basename(flags.model), fileBytes: statSync(flags.model).size },
  quality: "random weights: none",
  keyValueFormat: flags["kv-format"],
  sequences,
  threads,
  peakMemoryBytes: platform.peakMemoryBytes(),
  roofline: { gigabytesPerSecond: roofline },
  weightBytes,
  positionBytes,
  results,
};
console.log(
  "| context | visible | spans | tok/s | x full | bound | attention time | attention bytes |\n|---|---|---|---|---|---|---|---|",
);
for (const { context, share, span, tokensPerSecond, ratioToFull, bound, ...rest } of results) {
  console.log(
    `| ${context} | ${share === null ? "all" : `${100 * share} %`} | ${span ?? ""} | ${tokensPerSecond.toFixed(1)} | ${ratioToFull.toFixed(2)} | ${bound.toFixed(2)} | ${(100 * rest.attentionTimeRatio).toFixed(1)} % (${rest.attentionMilliseconds.toFixed(1)} ms) | ${(100 * rest.attentionByteRatio).toFixed(1)} % |`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) appendRow("spans", row);
process.exit(0);
