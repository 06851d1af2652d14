// Quality of methods on one model, alone, in ordered pairs and all at once: the embedded calc on held-out expressions, its
// attention spans followed and ignored. Every folder is made by the commands of `skim compress`, a pair by applying one to
// what the other wrote; a refusal is recorded as its message. Loss is that of worked solutions (nats per token of the answer).
// With --record it appends a row to results/composition.jsonl.
//   node bench/composition.mjs [--model models/calc] [--count 100] [--level 2] [--seed 3] [--trim 4.mlp] [--density 0.75] [--record]
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs, promisify } from "node:util";
import { evaluateArithmetic } from "../dist/evaluation/arithmetic.js";
import { arithmeticExamples } from "../dist/methods/attention-span/arithmetic-examples.js";
import { trackSequence } from "../dist/methods/attention-span/span-tracker.js";
import { nodePlatform } from "../dist/platform/node.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { logProbability } from "../dist/session/logits.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";

const root = path.resolve(import.meta.dirname, "..");
const SKIM = path.join(root, "dist", "cli", "main.js");
/** Position whose token is counted in bytes per token. */
const DEPTH = 128;
/** Tokens of the longest worked solution: calc's context. */
const STEP = 768;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: path.join(root, "models", "calc") },
    count: { type: "string", default: "100" },
    level: { type: "string", default: "2" },
    seed: { type: "string", default: "3" },
    trim: { type: "string", default: "4.mlp" },
    density: { type: "string", default: "0.75" },
    record: { type: "boolean", default: false },
  },
});
const [count, level, seed] = [flags.count, flags.level, flags.seed].map(Number);
const examples = (split, howMany) => [
  ...arithmeticExamples({
    levels: [level],
    count: howMany,
    seed,
    split,
    vary: 0,
    long: true,
    statements: true,
  }),
];
const problems = examples("test", count);
const folder = mkdtempSync(path.join(tmpdir(), "skim-composition-"));
const calibration = path.join(folder, "calibration.jsonl");
writeFileSync(
  calibration,
  examples("train", 100)
    .map((example) => JSON.stringify(example))
    .join("\n"),
);

const METHODS = {
  trim: ["drop", "--sublayers", flags.trim],
  neurons: ["prosparse", "--text", calibration],
  dip: ["dip", "--density", flags.density],
  tender: ["tender", "--bits", "8", "--text", calibration],
};
const names = Object.keys(METHODS);
const combinations = [
  [],
  ...names.map((name) => [name]),
  ...names.flatMap((first) => names.map((second) => [first, second])),
  ["trim", "dip", "neurons", "tender"],
].filter((steps, i, all) => all.findIndex((other) => other.join() === steps.join()) === i);

const before = readLoad();
const results = [];
try {
  for (const steps of combinations) {
    const name = steps.join(" then ") || "calc";
    const outcome = await compress(steps);
    const result = { steps, ...(outcome.refused ? outcome : await measure(outcome.model)) };
    results.push(result);
    console.log(`${name}: ${describe(result)}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (flags.record) {
  const row = {
    schema: "composition/1",
    ...describeRun(
      `node bench/composition.mjs --model ${path.basename(flags.model)} --count ${count} --level ${level} --seed ${seed} --trim ${flags.trim} --density ${flags.density}`,
      { before },
    ),
    model: path.basename(flags.model),
    results,
  };
  appendRow("composition", row);
}
process.exit(0);

/** The folder after all steps, or why a step was refused. Prefixes are made once. */
async function compress(steps) {
  if (steps.length === 0) return { model: flags.model };
  const base = await compress(steps.slice(0, -1));
  if (base.refused) return base;
  const out = path.join(folder, steps.join("-"));
  const known = results.find((result) => result.steps.join() === steps.join());
  if (known !== undefined) return known.refused ? known : { model: out };
  const [command, ...rest] = METHODS[steps.at(-1)];
  try {
    await promisify(execFile)(process.execPath, [
      SKIM,
      "compress",
      command,
      "--model",
      base.model,
      ...rest,
      "--out",
      out,
    ]);
    return { model: out };
  } catch (error) {
    const { stderr } = /** @type {{ stderr: string }} */ (error);
    return { refused: stderr.trim().split("\n").slice(-1)[0].replaceAll(`${folder}${path.sep}`, "") };
  }
}

async function measure(file) {
  const model = await loadModelOn(nodePlatform(), file, { engine: { threads: 2, stepTokens: STEP } });
  try {
    const exact = {};
    for (const follow of [true, false]) {
      const [report] = await evaluateArithmetic(model, problems, { follow, now: () => performance.now() });
      exact[follow ? "followed" : "ignored"] = report.exact / report.problems;
    }
    const loss = { followed: await answerLoss(model, true), ignored: await answerLoss(model, false) };
    const { total, byKind } = model.executor.readBytes(DEPTH);
    return { exact, loss, bytesPerToken: total, byKind };
  } finally {
    await model.dispose();
  }
}

/** Mean loss of the tokens of the worked solutions, which are given. */
async function answerLoss(model, follow) {
  const width = model.program.vocabularySize;
  let sum = 0;
  let scored = 0;
  for (const { instruction, prompt, answer } of problems) {
    const start = model.tokenize(`${instruction}${prompt}`);
    const tokens = [...start, ...model.tokenize(answer, { addSpecial: false })];
    const { rules, sink } = model.spans;
    const { visible } = trackSequence(rules, tokens, start.length, sink.length);
    const rows = tokens.length - 1;
    const logits = await model.executor.step({
      tokens: Int32Array.from(tokens.slice(0, rows)),
      positions: Int32Array.from({ length: rows }, (_, i) => i),
      slots: new Int32Array(rows),
      outputs: Int32Array.from({ length: rows }, (_, i) => i),
      ...(follow && { visible: visible.slice(0, rows) }),
    });
    for (let row = start.length - 1; row < rows; row++) {
      sum -= logProbability(logits.subarray(row * width, (row + 1) * width), tokens[row + 1]);
      scored++;
    }
  }
  return sum / scored;
}

function describe({ refused, exact, loss, bytesPerToken }) {
  if (refused) return `refused: ${refused}`;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  return `${percent(exact.followed)} exact (${percent(exact.ignored)} with everything read), loss ${loss.followed.toFixed(4)} (${loss.ignored.toFixed(4)}), ${(bytesPerToken / 1e6).toFixed(2)} MB per token`;
}
