// Compares skim with llama.cpp on a tiny random model of every family, at f32 and f16: log-probabilities of all tokens
// at 64 positions, and greedily decoded ids. Exits with 1 when any model differs by more than the tolerance.
//   node parity.mjs [--executor wasm|reference] [--threads 2] [--only text] [--tolerance 0.01] [--json]
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { readCount, runCommand } from "./command.mjs";
import { PARITY_CASES } from "./parity-cases.mjs";
import { comparePair, FORMATS, GREEDY_COUNT, POSITIONS } from "./parity-pair.mjs";
import { formatTable } from "./table.mjs";

/** @param {string} text */
function readTolerance(text) {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--tolerance: expected a number above 0, got ${text}`);
  return value;
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      executor: { type: "string", default: "wasm" },
      threads: { type: "string", default: "2" },
      only: { type: "string", default: "" },
      tolerance: { type: "string", default: "0.01" },
      json: { type: "boolean", default: false },
    },
  });
  const cases = PARITY_CASES.filter(({ title }) => title.includes(values.only));
  if (cases.length === 0) throw new Error(`--only: no model's title contains "${values.only}"`);
  return {
    cases,
    json: values.json,
    executor: values.executor,
    threads: readCount("--threads", values.threads),
    tolerance: readTolerance(values.tolerance),
  };
}

async function compareAll(folder, { cases, ...options }) {
  const results = [];
  for (const parityCase of cases) {
    for (const format of FORMATS) {
      const result = await comparePair(folder, parityCase, format, options).catch((error) => ({
        model: parityCase.title,
        format,
        problems: [error.message],
      }));
      results.push(result);
    }
  }
  return results;
}

function tableRow({ model, format, text, decoded, greedy, problems }) {
  if (text === undefined) return [model, format, "-", "-", "-", "-", "-", "failed, see below"];
  const tie = greedy.margin === undefined ? "" : `, then ${greedy.margin.toFixed(4)} apart`;
  return [
    model,
    format,
    text.worstDifference.toExponential(1),
    text.meanDifference.toExponential(1),
    `${text.sameBest}/${text.positions}`,
    decoded.worstDifference.toExponential(1),
    `${greedy.equalIds}/${greedy.count}${tie}`,
    problems.length === 0 ? "agrees" : problems.join("; "),
  ];
}

function printReport(results, { executor, threads, tolerance }) {
  const heading = ["model", "format", "worst", "mean", "same best", "decode worst", "greedy ids", "verdict"];
  console.log(formatTable(heading, results.map(tableRow)));
  for (const { model, format, text, problems } of results) {
    if (text === undefined) console.log(`\n${model}, ${format}: ${problems[0].trim()}`);
  }
  const release = results.find(({ llamaCpp }) => llamaCpp !== undefined)?.llamaCpp ?? "(which never ran)";
  const agreeing = results.filter(({ problems }) => problems.length === 0).length;
  console.log(
    `\nskim ${executor}, ${threads} threads, against llama.cpp ${release}: ${agreeing} of ${results.length} agree within ` +
      `${tolerance} in log-probability (${POSITIONS} positions, all tokens; ${GREEDY_COUNT} decoded)`,
  );
}

await runCommand("parity", async () => {
  const flags = readFlags();
  const folder = await mkdtemp(path.join(os.tmpdir(), "skim-parity-"));
  try {
    const results = await compareAll(folder, flags);
    const { executor, threads, tolerance } = flags;
    if (flags.json) console.log(JSON.stringify({ executor, threads, tolerance, results }, undefined, 2));
    else printReport(results, flags);
    process.exitCode = results.every(({ problems }) => problems.length === 0) ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
