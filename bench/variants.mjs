// Variants of one model side by side: perplexity on a held-out text, bytes per token by kind, decode speed, parameters.
// All variants are loaded at once and decode in turns; medians, the roofline in the same run. With --record it appends a
// row to results/variants.jsonl. Scoring takes minutes and does not mind company, timing takes seconds and does: --pause waits
// in between until a line arrives on standard input.
//   node bench/variants.mjs --text valid.txt [--characters 100000] [--threads 2] [--rounds 9] [--pause] [--record] \
//     tales=models/tales q8=models/tales,weightFormat=q8 dip=models/tales,weightFormat=q8,density=0.5
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { measurePerplexity } from "../dist/evaluation/perplexity.js";
import { parameterCount } from "../dist/formats/tensor-layout.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { nodePlatform } from "../dist/platform/node.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { decodeSpeed, measureInTurns, median, nameSubjects, parseSubject } from "./subjects.mjs";

const TOKENS = 64;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: "string" },
    characters: { type: "string", default: "100000" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    pause: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  },
});
if (flags.text === undefined || positionals.length === 0) {
  console.error("variants: expected --text FILE and at least one NAME=MODEL[,option=value]");
  process.exit(2);
}
const [characters, threads, rounds] = [flags.characters, flags.threads, flags.rounds].map(Number);
const text = readFileSync(flags.text, "utf8").slice(0, characters);
const platform = nodePlatform();

const subjects = [];
for (const positional of positionals) {
  const { name, file, options } = parseSubject("variants", positional);
  const model = await loadModelOn(platform, file, { model: options, engine: { threads } });
  subjects.push({ name, file, options, model, values: [] });
}

for (const subject of subjects) {
  subject.perplexity = await measurePerplexity(subject.model, text, {
    protocol: "hf",
    context: Math.min(256, subject.model.contextLength),
  });
  console.error(`${subject.name}: perplexity ${subject.perplexity.perplexity.toFixed(3)}`);
}

if (flags.pause) {
  console.error("scored; waiting for a line before timing");
  for await (const _ of createInterface({ input: process.stdin })) break;
}
const before = readLoad();
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor: subjects[0].model.executor,
  timings: subjects.map(({ model, values }) => ({ values, measure: () => decodeSpeed(model, TOKENS) })),
});

const variants = subjects.map(({ name, file, options, model, perplexity, values }) => {
  const { total, byKind } = model.executor.readBytes(TOKENS);
  return {
    name,
    model: path.basename(file),
    options,
    perplexity: perplexity.perplexity,
    meanNll: perplexity.meanNll,
    tokensScored: perplexity.tokensScored,
    parameters: parameterCount(model.file),
    weightBytes: model.executor.weightBytes,
    bytesPerToken: total,
    byKind,
    decode: { tokensPerSecond: median(values), values },
    ratioToFirst: median(values) / median(subjects[0].values),
  };
});
for (const { model } of subjects) await model.dispose();

const row = {
  schema: "variants/1",
  ...describeRun(
    `node bench/variants.mjs --text ${path.basename(flags.text)} --characters ${characters} --threads ${threads} --rounds ${rounds} ${nameSubjects(positionals)}`,
    { before, otherCores },
  ),
  protocol: "hf",
  threads,
  roofline: { gigabytesPerSecond: roofline },
  peakMemoryBytes: platform.peakMemoryBytes(),
  variants,
};
console.log("| variant | perplexity | read per token | decode tok/s | parameters |\n|---|---|---|---|---|");
for (const { name, perplexity, bytesPerToken, decode, parameters } of variants) {
  console.log(
    `| ${name} | ${perplexity.toFixed(2)} | ${(bytesPerToken / 1e6).toFixed(2)} MB | ${decode.tokensPerSecond.toFixed(0)} | ${(parameters / 1e6).toFixed(2)} M |`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) appendRow("variants", row);
process.exit(0);
