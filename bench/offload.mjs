// Decoding within a memory budget: dense streaming, DIP and cache-aware DIP over columns read from disk, each in a process of
// its own, interleaving nothing (a run warms no page cache: reads go past it). Appends rows to bench/results/offload.jsonl.
//   node bench/offload.mjs --model M.gguf --columns M.columns [--budget 2GB] [--tokens 8] [--context 512] [--only "NAME;..."] [--record]
import { execFileSync } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";

const ROOT = path.resolve(import.meta.dirname, "..");

const LFU = { density: 0.5, policy: "lfu", gamma: 1 };
const CONFIGURATIONS = [
  { name: "dense streaming", ...LFU, density: 1, policy: "lru" },
  { name: "dense streaming, not ahead", ...LFU, density: 1, policy: "lru", readAhead: false },
  { name: "DIP, no cache", ...LFU, policy: "none" },
  { name: "DIP, LRU", ...LFU, policy: "lru" },
  { name: "DIP, LFU", ...LFU },
  { name: "DIP, LFU, not ahead", ...LFU, readAhead: false },
  { name: "DIP-CA 0.5, LFU", ...LFU, gamma: 0.5 },
  { name: "DIP-CA 0.2, LFU", ...LFU, gamma: 0.2 },
  { name: "DIP-CA 0.2, LRU", ...LFU, policy: "lru", gamma: 0.2 },
  { name: "DIP-CA 0.1, LFU", ...LFU, gamma: 0.1 },
  { name: "DIP 0.2, LFU", ...LFU, density: 0.2 },
  { name: "DIP-CA 0.2 0.2, LFU", ...LFU, density: 0.2, gamma: 0.2 },
];

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    columns: { type: "string" },
    budget: { type: "string", default: "2GB" },
    tokens: { type: "string", default: "8" },
    context: { type: "string", default: "512" },
    only: { type: "string" },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined || flags.columns === undefined) {
  process.stderr.write("offload: expected --model and --columns\n");
  process.exit(2);
}

for (const configuration of CONFIGURATIONS) {
  if (flags.only !== undefined && !flags.only.split(";").includes(configuration.name)) continue;
  const before = readLoad();
  const measured = measure(configuration);
  const [model, columns] = [flags.model, flags.columns].map((file) => path.basename(file));
  const row = {
    schema: "offload/2",
    ...describeRun(
      `node bench/offload.mjs --model ${model} --columns ${columns} --budget ${flags.budget} --tokens ${flags.tokens} --context ${flags.context} --only "${configuration.name}"`,
      { before },
    ),
    model,
    budget: flags.budget,
    tokens: Number(flags.tokens),
    context: Number(flags.context),
    threads: os.availableParallelism(),
    readAhead: true,
    ...configuration,
    ...measured,
  };
  console.log(JSON.stringify(row));
  if (flags.record) appendRow("offload", row);
}

function measure({ density, policy, gamma, readAhead = true }) {
  // One token more than is timed: the first comes out of the prompt.
  const tokens = Number(flags.tokens) + 1;
  const output = execFileSync(
    process.execPath,
    [
      path.join(ROOT, "dist/cli/main.js"),
      ...["run", "--model", flags.model, "--columns", flags.columns, "--memory-budget", flags.budget],
      ...["--density", String(density), "--cache-policy", policy, "--gamma", String(gamma)],
      ...(readAhead ? [] : ["--no-read-ahead"]),
      ...[
        "--raw",
        "--prompt",
        "",
        "--temperature",
        "0",
        "--context",
        flags.context,
        "--max-tokens",
        String(tokens),
        "--json",
      ],
    ],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  const {
    timing,
    reads,
    columns: { hitRate, file },
    finishReason,
  } = JSON.parse(output);
  if (finishReason !== "length")
    throw new Error(`offload: the run ended with ${finishReason}, expected length`);
  return {
    decodeTokensPerSecond: timing.decodeTokensPerSecond,
    hitRate,
    fileBytesPerToken: file.bytesPerToken,
    memoryBytesPerToken: reads.bytesPerToken,
    fileGigabytesPerSecond: (file.bytesPerToken * Number(flags.tokens)) / 1e6 / file.waitingMs,
    waitingShare: file.waitingMs / timing.decodeMs,
    aheadShare: file.aheadShare,
    aheadUsedShare: file.aheadUsedShare,
    prefillMs: timing.prefillMs,
    promptFileBytes: file.promptBytes,
    peakMemoryBytes: file.peakMemoryBytes,
    pageCacheBypassed: file.direct,
  };
}
