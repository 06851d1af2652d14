// Records what `skim eval quantization --json` measures as one row of results/quantization.jsonl, with machine and commit.
// All arguments go to that command. Needs `npm run build`.
//   node bench/quantization.mjs --model llama.gguf --text story.txt --calibration other.txt
import { execFileSync } from "node:child_process";
import path from "node:path";
import { describeMachine, readCommit, readLoad } from "./peers/machine.mjs";
import { appendRow } from "./rows.mjs";

const root = path.dirname(import.meta.dirname);
const given = process.argv.slice(2);
const started = new Date();
const output = execFileSync(
  process.execPath,
  [path.join(root, "dist/cli/main.js"), "eval", "quantization", ...given, "--json"],
  { stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26, encoding: "utf8" },
);
const report = JSON.parse(output);
const named = given.map((argument) => (argument.includes("/") ? path.basename(argument) : argument));
const row = {
  schema: "quantization/1",
  date: started.toISOString(),
  ...readCommit(),
  command: `skim eval quantization ${named.join(" ")}`,
  machine: describeMachine(),
  load: readLoad(),
  ...report,
  model: path.basename(report.model),
};
appendRow("quantization", row);
