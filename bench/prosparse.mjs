// Finished runs of `skim train prosparse` side by side: perplexity and zeros of x1 on held-out text that no threshold was
// chosen on, as trained (ReLU) and with the chosen threshold, and what each threshold gave in the search. With --record it
// appends a row to results/prosparse.jsonl.
//   node bench/prosparse.mjs --base models/tales --text valid.txt [--skip 100000] [--characters 50000] [--threads 2] \
//     [--record] control=runs/control penalized=runs/penalized
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { measurePerplexity } from "../dist/evaluation/perplexity.js";
import { openModelFile } from "../dist/formats/open-model-file.js";
import { readSegments, SEGMENT_TOKENS } from "../dist/methods/calibration-segments.js";
import { measureSparsity, withActivation } from "../dist/methods/prosparse/sparsity.js";
import { thresholdActivation } from "../dist/methods/prosparse/thresholds.js";
import { loadTrainableProgram } from "../dist/methods/recipes.js";
import { nodePlatform } from "../dist/platform/node.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { nameSubjects, parseFolder } from "./subjects.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: "string" },
    text: { type: "string" },
    skip: { type: "string", default: "100000" },
    characters: { type: "string", default: "50000" },
    threads: { type: "string", default: "2" },
    record: { type: "boolean", default: false },
  },
});
if (flags.text === undefined || flags.base === undefined || positionals.length === 0) {
  console.error(
    "prosparse: expected --base MODEL, --text FILE and at least one NAME=FOLDER of skim train prosparse",
  );
  process.exit(2);
}
const [skip, characters, threads] = [flags.skip, flags.characters, flags.threads].map(Number);
const text = readFileSync(flags.text, "utf8").slice(skip, skip + characters);
const platform = nodePlatform();
const before = readLoad();

const runs = [];
for (const positional of positionals) {
  const { name, folder } = parseFolder("prosparse", positional);
  runs.push(await describeModel(name, folder));
}
const row = {
  schema: "prosparse/1",
  ...describeRun(
    `node bench/prosparse.mjs --base ${path.basename(flags.base)} --text ${path.basename(flags.text)} --skip ${skip} --characters ${characters} --threads ${threads} ${nameSubjects(positionals)}`,
    { before },
  ),
  threads,
  base: { model: path.basename(flags.base), perplexity: await scorePerplexity(flags.base) },
  runs,
};
console.log("| run | trained tokens | threshold | perplexity | zeros in x1 |\n|---|---|---|---|---|");
for (const { name, trained, chosen, perplexity, x1 } of runs) {
  console.log(
    `| ${name} | ${trained.tokens} | ${chosen} | ${perplexity.toFixed(2)} | ${(100 * x1.relu.sparsity).toFixed(2)} -> ${(100 * x1.chosen.sparsity).toFixed(2)} % |`,
  );
}
console.log(`perplexity before training: ${row.base.perplexity.toFixed(2)}`);
if (flags.record) appendRow("prosparse", row);

async function describeModel(name, folder) {
  const report = JSON.parse(readFileSync(path.join(folder, "sparsity.json"), "utf8"));
  const log = readFileSync(path.join(folder, "training-log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const updates = log.filter(({ learningRate }) => learningRate !== undefined);
  const last = updates.at(-1);
  const { normalizer, stages, fixedFactor, chosen, trials } = report;
  return {
    name,
    trained: {
      steps: last.step,
      tokens: last.tokens,
      peakLearningRate: Math.max(...updates.map(({ learningRate }) => learningRate)),
    },
    normalizer,
    ...(fixedFactor === undefined ? { stages } : { fixedFactor }),
    search: trials,
    chosen,
    perplexity: await scorePerplexity(folder),
    x1: await countZeros(folder, chosen),
  };
}

async function scorePerplexity(folder) {
  const model = await loadModelOn(platform, folder, { engine: { threads } });
  const context = Math.min(SEGMENT_TOKENS, model.contextLength);
  const { perplexity } = await measurePerplexity(model, text, { protocol: "hf", context });
  await model.dispose();
  return perplexity;
}

async function countZeros(folder, chosen) {
  const file = await openModelFile(platform, folder);
  const { program } = await loadTrainableProgram(file);
  const cut = { segmentTokens: SEGMENT_TOKENS, maxSegments: Number.POSITIVE_INFINITY };
  const segments = await readSegments(file, text, cut);
  const count = (threshold, of) =>
    measureSparsity(platform, file, withActivation(program, thresholdActivation(threshold)), {
      segments,
      of,
      threads,
    });
  const counts = {
    relu: await count(0, "x1"),
    chosen: await count(chosen, "x1"),
    gates: await count(chosen, "gates"),
  };
  await file.close();
  return counts;
}
