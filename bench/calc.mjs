// Models that evaluate arithmetic expressions, side by side on held-out expressions of every level: exact answers, statements,
// what was read (also as skeleton headers would read it); then speed, the models in turns on the same expressions. With
// --record it appends a row to results/calc.jsonl.
//   node bench/calc.mjs [--count 300] [--levels 1,2,3,4,5] [--seed 3] [--threads 2] [--rounds 7] [--record] \
//     calc=models/calc ignored=models/calc,spans=ignore q8=models/calc,weightFormat=q8
import path from "node:path";
import { parseArgs } from "node:util";
import { evaluateArithmetic } from "../dist/evaluation/arithmetic.js";
import { arithmeticExamples } from "../dist/methods/attention-span/arithmetic-examples.js";
import { trackSequence } from "../dist/methods/attention-span/span-tracker.js";
import { nodePlatform } from "../dist/platform/node.js";
import { countPositions } from "../dist/program/intervals.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { measureInTurns, median, nameSubjects, parseSubject } from "./subjects.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: "string", default: "300" },
    levels: { type: "string", default: "1,2,3,4,5" },
    seed: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "7" },
    record: { type: "boolean", default: false },
  },
});
if (positionals.length === 0) {
  console.error("calc: expected at least one NAME=MODEL[,spans=ignore][,option=value]");
  process.exit(2);
}
const [count, seed, threads, rounds] = [flags.count, flags.seed, flags.threads, flags.rounds].map(Number);
/** Expressions of a round of the speed test, of the highest level. */
const TIMED = 4;
/** Position whose token is counted in bytes per token. */
const DEPTH = 128;
const problems = flags.levels.split(",").flatMap((level) => [
  ...arithmeticExamples({
    levels: [Number(level)],
    count,
    seed,
    split: "test",
    vary: 0,
    long: true,
    statements: true,
  }),
]);
const platform = nodePlatform();
const before = readLoad();

const subjects = [];
for (const positional of positionals) {
  const {
    name,
    file,
    options: { spans = "follow", ...options },
  } = parseSubject("calc", positional);
  if (!["follow", "ignore"].includes(spans)) {
    console.error(`calc: ${positional}, expected spans=follow or ignore`);
    process.exit(2);
  }
  const model = await loadModelOn(platform, file, { model: options, engine: { threads } });
  const levels = await evaluate(model, spans, problems, (done, total) => {
    if (done % 100 === 0) console.error(`${name}: ${done} of ${total}`);
  });
  if (subjects.length === 0)
    for (const level of levels) Object.assign(level, { skeleton: skeletonShare(model, level) });
  subjects.push({ name, file, spans, options, model, levels, values: [] });
}

const timed = problems.slice(-TIMED);
const { otherCores } = await measureInTurns({
  rounds,
  timings: subjects.map(({ model, spans, values }) => ({
    values,
    measure: async () => {
      const [{ generatedTokens, milliseconds }] = await evaluate(model, spans, timed);
      return (1000 * generatedTokens) / milliseconds;
    },
  })),
});
const models = subjects.map(({ name, file, spans, options, model, levels, values }) => {
  const { total, byKind } = model.executor.readBytes(DEPTH);
  return {
    name,
    model: path.basename(file),
    spans,
    options,
    levels,
    bytesPerToken: total,
    byKind,
    decode: { tokensPerSecond: median(values), values },
    ratioToFirst: median(values) / median(subjects[0].values),
  };
});
for (const { model } of subjects) await model.dispose();

function evaluate(model, spans, some, onProgress) {
  return evaluateArithmetic(model, some, {
    follow: spans === "follow",
    now: () => performance.now(),
    ...(onProgress && { onProgress }),
  });
}

/** Shares that the worked solutions would read with skeleton headers, which no model here is trained for. */
function skeletonShare(model, { level }) {
  if (model.spans === undefined) return null;
  const share = { read: 0, inAll: 0 };
  for (const { instruction, prompt, answer } of problems.filter((problem) => problem.level === level)) {
    const start = model.tokenize(`${instruction}${prompt}`);
    const tokens = [...start, ...model.tokenize(answer, { addSpecial: false })];
    const rules = { ...model.spans.rules, headers: "skeleton" };
    const { visible } = trackSequence(rules, tokens, start.length, model.spans.sink.length);
    for (let t = start.length; t < tokens.length; t++) {
      share.read += countPositions(visible[t] ?? [{ start: 0, end: t + 1 }]);
      share.inAll += t + 1;
    }
  }
  return share;
}

const row = {
  schema: "calc/1",
  ...describeRun(
    `node bench/calc.mjs --count ${count} --levels ${flags.levels} --seed ${seed} --threads ${threads} --rounds ${rounds} ${nameSubjects(positionals)}`,
    { before, otherCores },
  ),
  threads,
  peakMemoryBytes: platform.peakMemoryBytes(),
  models,
};
const percent = ({ read, inAll }) => (inAll === 0 ? "-" : `${((100 * read) / inAll).toFixed(1)} %`);
console.log(
  "| model | level | exact | valid statements | rows read | bodies read | by 16 | by 32 |\n|---|---|---|---|---|---|---|---|",
);
for (const { name, levels } of models) {
  for (const { level, problems: all, exact, statements, validStatements, ...rest } of levels) {
    const valid = statements === 0 ? "-" : `${((100 * validStatements) / statements).toFixed(1)} %`;
    console.log(
      `| ${name} | ${level} | ${((100 * exact) / all).toFixed(1)} % of ${all} | ${valid} | ${percent(rest.all)} | ${percent(rest.bodies)} | ${percent(rest.bodiesBy16)} | ${percent(rest.bodiesBy32)} |`,
    );
  }
}
for (const { name, bytesPerToken, decode, ratioToFirst } of models) {
  console.log(
    `${name}: ${(bytesPerToken / 1e6).toFixed(2)} MB per token, ${decode.tokensPerSecond.toFixed(0)} tok/s, ${ratioToFirst.toFixed(2)} x ${models[0].name}`,
  );
}
console.log(`other processes kept ${otherCores.toFixed(2)} cores busy`);
if (flags.record) appendRow("calc", row);
process.exit(0);
