// How well the next choice of columns can be guessed, for reading ahead: of the columns that a guess ranks highest, the share
// that DIP then chooses, by what the guess is made from. Counted in a trace of a real run; nothing is timed. Appends a row to
// results/guesses.jsonl with --record.
//   skim simulate record --model models/tales --text T --out tales.trace
//   node bench/guesses.mjs --trace tales.trace [--density 0.5] [--record]
import path from "node:path";
import { parseArgs } from "node:util";
import { allocateDensities, keptCounts } from "../dist/methods/dynamic-input-pruning/densities.js";
import { nodePlatform } from "../dist/platform/node.js";
import { openTrace } from "../dist/simulation/memory/trace-file.js";
import { readCommit } from "./peers/machine.mjs";
import { appendRow } from "./rows.mjs";

/** Sizes of guesses, as shares of all columns. */
const SHARES = [0.05, 0.1, 0.2];

const { values: flags } = parseArgs({
  options: {
    trace: { type: "string" },
    density: { type: "string", default: "0.5" },
    record: { type: "boolean", default: false },
  },
});
if (flags.trace === undefined) {
  console.error("guesses: expected --trace");
  process.exit(2);
}
const opened = await nodePlatform().open(flags.trace);
if (!("file" in opened)) {
  console.error(`guesses: ${flags.trace}, expected a file, got a folder`);
  process.exit(2);
}
const { file } = opened;
const trace = await openTrace(file);
const { shape, sequences, origin } = trace.header;
const counts = keptCounts(allocateDensities(Number(flags.density)), shape);
const results = [];
for (const hook of ["input", "glu"]) results.push(...(await countHook(hook)));
await file.close();
for (const { hook, guessed, from, chosenShare, chance } of results)
  console.log(
    `${hook}: top ${guessed} by ${from}: ${(100 * chosenShare).toFixed(1)} % chosen, by chance ${(100 * chance).toFixed(1)} %`,
  );
const row = {
  schema: "guesses/1",
  date: new Date().toISOString(),
  ...readCommit(),
  command: `node bench/guesses.mjs --trace ${path.basename(flags.trace)} --density ${flags.density}`,
  shape: shape.name,
  origin,
  density: Number(flags.density),
  results,
};
if (flags.record) appendRow("guesses", row);

async function countHook(hook) {
  const width = hook === "input" ? shape.width : shape.feedForwardWidth;
  const sums = new Map();
  let cases = 0;
  for (const [sequence, { tokens }] of sequences.entries()) {
    const layers = [];
    for (let layer = 0; layer < shape.layers; layer++) {
      const read = await trace.readHook(sequence, layer, hook);
      if (read.content !== "scores") throw new Error("guesses: the trace has columns, expected scores");
      layers.push(read.scores);
    }
    const scoresOf = (layer, token) => layers[layer].subarray(token * width, (token + 1) * width);
    for (let layer = 1; layer < shape.layers; layer++) {
      const uses = new Float32Array(width);
      for (let token = 1; token < tokens; token++) {
        for (const column of largest(scoresOf(layer, token - 1), counts[hook])) uses[column]++;
        const chosen = new Set(largest(scoresOf(layer, token), counts[hook]));
        const guesses = {
          "the layer before": scoresOf(layer - 1, token),
          "the token before": scoresOf(layer, token - 1),
          "uses so far": uses,
        };
        for (const [from, scores] of Object.entries(guesses)) {
          for (const share of SHARES) {
            const guessed = largest(scores, Math.floor(share * width));
            const hits = guessed.filter((column) => chosen.has(column)).length;
            const key = JSON.stringify([from, guessed.length]);
            sums.set(key, (sums.get(key) ?? 0) + hits / guessed.length);
          }
        }
        cases++;
      }
    }
  }
  return [...sums].map(([key, sum]) => {
    const [from, guessed] = JSON.parse(key);
    return { hook, from, guessed, chosenShare: sum / cases, chance: counts[hook] / width };
  });
}

/** Indices of the `count` largest, ties to the lower index. */
function largest(scores, count) {
  return [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}
