// Makes models/calc again, from nothing: data, a first run on levels of fixed size, a second on expressions of any size. About
// an hour and a half on two free cores; a run that was stopped continues when the command is given again.
//   node scripts/train-calc.mjs --out FOLDER [--control full|plain]
// The controls see as many updates of the same expressions: `full` learns the same texts under full attention, `plain` texts
// without statements.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

const SKIM = path.resolve(import.meta.dirname, "..", "dist", "cli", "main.js");
const CHECKPOINT = "training.checkpoint";

const { values: flags } = parseArgs({
  options: { out: { type: "string" }, control: { type: "string" } },
});
if (flags.out === undefined || !["full", "plain", undefined].includes(flags.control)) {
  console.error("train-calc: expected --out FOLDER and perhaps --control full or plain");
  process.exit(2);
}
const { out, control } = flags;
mkdirSync(out, { recursive: true });
const file = (name) => path.join(out, name);
const spans = { full: ["--spans", "full"], plain: [], undefined: ["--spans", "masked"] }[control];
const statements = control === "plain" ? ["--no-statements"] : [];

const COMMON = "--context 768 --batch 4 --checkpoint-every 200 --weights f16".split(" ");
await makeData("first.jsonl", "--levels 1,2,2,3,3,3,4 --count 120000 --seed 1");
await makeData("second.jsonl", "--levels 1,2,2,3,3,3,4 --count 120000 --seed 11 --vary 0.4");
await makeData("valid.jsonl", "--levels 1,2,3,4 --count 400 --split valid --seed 2");
await train("first", "first.jsonl", [
  ..."--vocabulary 257 --layers 6 --width 128 --heads 4 --kv-heads 2 --feed-forward 512 --activation relu".split(
    " ",
  ),
  ..."--steps 7000 --warmup 300 --learning-rate 2e-3 --evaluate-every 500 --seed 1".split(" "),
]);
await train("calc", "second.jsonl", [
  ...["--model", file("first")],
  ..."--steps 3200 --warmup 100 --learning-rate 1.2e-3 --evaluate-every 400 --seed 2".split(" "),
]);

async function makeData(name, levels) {
  if (existsSync(file(name))) return;
  await skim(["data", "arithmetic", ...levels.split(" "), "--long", ...statements, "--out", file(name)]);
}

async function train(name, data, settings) {
  if (existsSync(file(`${name}.done`))) return;
  const folder = file(name);
  const resume = existsSync(path.join(folder, CHECKPOINT)) ? ["--resume"] : [];
  const files = ["--data", file(data), "--valid", file("valid.jsonl"), "--out", folder];
  await skim(["train", ...files, ...spans, ...COMMON, ...settings, ...resume]);
  mkdirSync(file(`${name}.done`));
}

/**
 * Runs a skim command; what it prints goes where this script's output goes.
 * @returns {Promise<void>}
 */
function skim(args) {
  console.error(`skim ${args.join(" ")}`);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [SKIM, ...args], { stdio: "inherit" });
    // Ctrl-C reaches the child, which saves a checkpoint; this process goes when it has gone.
    process.on("SIGINT", () => undefined);
    child.on("close", (code) => {
      if (code !== 0) process.exit(code ?? 1);
      resolve();
    });
  });
}
