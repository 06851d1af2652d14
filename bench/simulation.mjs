// Records what `skim simulate memory` or `skim simulate accelerator` computes as one row of results/simulation.jsonl, with
// machine and commit. Nothing of it is measured: the row says simulated. All arguments go to that command.
//   node bench/simulation.mjs memory --trace tales.trace --dram 0.0009,0.0012 --density 0.5 --policy none,lru,lfu --gamma 1,0.2
//   node bench/simulation.mjs accelerator --shape llama-2-7b
import { execFileSync } from "node:child_process";
import path from "node:path";
import { describeMachine, readCommit } from "./peers/machine.mjs";
import { appendRow } from "./rows.mjs";

const root = path.dirname(import.meta.dirname);
const [what, ...given] = process.argv.slice(2);
const summarize = { memory: summarizeMemory, accelerator: summarizeAccelerator }[what];
if (summarize === undefined) {
  console.error("simulation: expected memory or accelerator, and flags of skim simulate");
  process.exit(2);
}
const output = execFileSync(
  process.execPath,
  [path.join(root, "dist/cli/main.js"), "simulate", what, ...given, "--json"],
  { stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28, encoding: "utf8" },
);
const report = JSON.parse(output);
const named = given.map((argument) => (argument.includes("/") ? path.basename(argument) : argument));
const row = {
  schema: `simulated-${what}/1`,
  date: new Date().toISOString(),
  ...readCommit(),
  command: `skim simulate ${what} ${named.join(" ")}`,
  machine: describeMachine(),
  simulated: report.simulated,
  ...summarize(report),
};
appendRow("simulation", row);

function summarizeMemory({ notModelled, device, timing, weightBits, trace, rows, quality }) {
  return {
    notModelled,
    device: device.name,
    timing,
    weightBits,
    shape: trace.shape.name,
    origin: trace.origin,
    ...(quality && { quality }),
    results: rows.map(({ method, density, policy, preference, dramBytes, ...row }) => ({
      method,
      density,
      policy,
      gamma: preference.gamma,
      dramBytes,
      flashBytesPerToken: row.flashBytesPerToken,
      tokensPerSecond: row.tokensPerSecond,
      ...(quality && { memoryBytes: row.memoryBytes, perplexity: row.perplexity }),
    })),
  };
}

function summarizeAccelerator({ hardware, energySource, rows }) {
  return {
    hardware,
    energySource,
    results: rows.map(
      ({ model, rows: tokens, attended, name, design, layer, modelSeconds, modelJoules }) => ({
        model,
        tokens,
        attended,
        name,
        bits: design.bits,
        arrayShare: layer.utilisation,
        seconds: modelSeconds,
        joules: modelJoules,
      }),
    ),
  };
}
