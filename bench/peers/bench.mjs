// Times skim and llama.cpp on the same GGUF file: interleaved rounds, each engine in a fresh process per round, the
// same token ids and threads, and the memory roofline measured in the same rounds.
//   node bench.mjs --model F [--prompt 512] [--decode 128] [--depth 0,1024,4096] [--repeats 5] [--threads 2]
//                  [--kv-format f16|f32] [--flash-attention] [--record] [--json]
import { appendFile, stat } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { BATCH_SIZE, planTests } from "./bench-plan.mjs";
import { summarizeTests, summarizeValues } from "./bench-summary.mjs";
import { runInChild } from "./child-process.mjs";
import { readCount, runCommand } from "./command.mjs";
import { describeMachine, QUIET_LOAD_PER_CORE, QUIET_OTHER_CORES, readCommit, readLoad } from "./machine.mjs";
import { importSkim } from "./skim-build.mjs";
import { formatTable } from "./table.mjs";

const RESULTS = path.resolve(import.meta.dirname, "..", "results", "peers.jsonl");
const FLAGS = {
  model: { type: "string" },
  prompt: { type: "string", default: "512" },
  decode: { type: "string", default: "128" },
  depth: { type: "string", default: "0" },
  repeats: { type: "string", default: "5" },
  threads: { type: "string", default: "2" },
  "kv-format": { type: "string", default: "f16" },
  "flash-attention": { type: "boolean", default: false },
  record: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
};

function readSettings() {
  const { values } = parseArgs({ options: FLAGS });
  if (values.model === undefined) throw new Error("--model: expected a GGUF file, got nothing");
  if (!["f16", "f32"].includes(values["kv-format"])) {
    throw new Error(`--kv-format: expected f16 or f32, got ${values["kv-format"]}`);
  }
  return {
    model: path.resolve(values.model),
    prompt: readCount("--prompt", values.prompt),
    decode: readCount("--decode", values.decode),
    depths: values.depth.split(",").map((depth) => readCount("--depth", depth.trim(), 0)),
    repeats: readCount("--repeats", values.repeats),
    threads: readCount("--threads", values.threads),
    keyValueFormat: values["kv-format"],
    flashAttention: values["flash-attention"],
    record: values.record,
    json: values.json,
  };
}

/** Rows of the embedding table: both engines know exactly these ids. */
async function readVocabularySize(model) {
  const { openModelFile } = await importSkim("formats/open-model-file.js");
  const { loadProgram } = await importSkim("models/registry.js");
  const { nodePlatform } = await importSkim("platform/node.js");
  const file = await openModelFile(nodePlatform(), model);
  try {
    return (await loadProgram(file, {})).program.vocabularySize;
  } finally {
    await file.close();
  }
}

/** The command without the model's folder and without what only says where the result goes. */
function describeCommand({
  model,
  prompt,
  decode,
  depths,
  repeats,
  threads,
  keyValueFormat,
  flashAttention,
}) {
  return (
    `npm run bench -- --model ${path.basename(model)} --prompt ${prompt} --decode ${decode} --depth ${depths.join(",")} ` +
    `--repeats ${repeats} --threads ${threads} --kv-format ${keyValueFormat}${flashAttention ? " --flash-attention" : ""}`
  );
}

async function measureRounds(settings, plan) {
  const rounds = [];
  for (let round = 0; round < settings.repeats; round++) {
    const job = {
      model: settings.model,
      threads: settings.threads,
      keyValueFormat: settings.keyValueFormat,
      flashAttention: settings.flashAttention,
      batchSize: BATCH_SIZE,
      ...plan,
    };
    console.error(`round ${round + 1} of ${settings.repeats}: skim ...`);
    const skim = await runInChild("skim-speed.mjs", job);
    console.error(`round ${round + 1} of ${settings.repeats}: llama.cpp ...`);
    rounds.push({ skim, llamaCpp: await runInChild("llama-cpp-speed.mjs", job) });
  }
  return rounds;
}

/** The complete row as documented in bench/results/README.md. */
async function summarizeRun(settings, plan, rounds, startedAt, load) {
  const rates = rounds.map(({ skim }) => skim.gigabytesPerSecond);
  // A disturbed measurement can only be too low, so the best one is nearest to the ceiling.
  const gigabytesPerSecond = Math.max(...rates);
  const engine = async (name) => ({
    loadMs: (await summarizeValues(rounds.map((round) => round[name].loadMs))).median,
    peakMemoryBytes: Math.max(...rounds.map((round) => round[name].peakMemoryBytes)),
    otherCores: rounds.map((round) => round[name].otherCores),
  });
  const { parameters, tensorBytes, weightBytes, simd } = rounds[0].skim;
  return {
    schema: "peers/1",
    date: startedAt.toISOString(),
    ...readCommit(),
    command: describeCommand(settings),
    machine: describeMachine(),
    load: { before: load, after: readLoad() },
    model: {
      file: path.basename(settings.model),
      fileBytes: (await stat(settings.model)).size,
      parameters,
      tensorBytes,
    },
    threads: settings.threads,
    keyValueFormat: settings.keyValueFormat,
    roofline: { gigabytesPerSecond, rounds: rates },
    skim: { ...(await engine("skim")), weightBytes, simd },
    llamaCpp: {
      ...(await engine("llamaCpp")),
      ...rounds[0].llamaCpp.versions,
      flashAttention: settings.flashAttention,
    },
    tests: await summarizeTests(plan.tests, rounds, gigabytesPerSecond),
  };
}

function printReport(row) {
  const spread = ({ median, values }) =>
    `${median.toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
  const rows = row.tests.map(({ name, skim, llamaCpp, ratio, pairs, equalIds, ids }) => [
    name,
    spread(skim.tokensPerSecond),
    spread(llamaCpp.tokensPerSecond),
    spread({ median: ratio, values: pairs.values }),
    skim.bytesPerToken === undefined ? "-" : `${(skim.bytesPerToken / 1e6).toFixed(1)} MB`,
    skim.rooflineShare === undefined ? "-" : `${(skim.rooflineShare * 100).toFixed(1)} %`,
    `${equalIds}/${ids}`,
  ]);
  const heading = [
    "test",
    "skim t/s",
    "llama.cpp t/s",
    "ratio",
    "skim reads/token",
    "of roofline",
    "equal ids",
  ];
  const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;
  console.log(`model     ${row.model.file}, ${(row.model.parameters / 1e6).toFixed(0)} M parameters`);
  console.log(
    `machine   ${row.machine.cpu}, ${row.threads} of ${row.machine.cores} cores, node ${row.machine.node}`,
  );
  console.log(`roofline  ${row.roofline.gigabytesPerSecond.toFixed(1)} GB/s`);
  console.log(
    `peak      skim ${gigabytes(row.skim.peakMemoryBytes)}, llama.cpp ${gigabytes(row.llamaCpp.peakMemoryBytes)}`,
  );
  console.log(formatTable(heading, rows));
}

await runCommand("bench", async () => {
  const settings = readSettings();
  const startedAt = new Date();
  const load = readLoad();
  console.error(`load average ${load.averages.map((value) => value.toFixed(2)).join(" ")}`);
  if (load.perCore > QUIET_LOAD_PER_CORE) {
    console.error(
      `warning: ${load.perCore.toFixed(2)} per core - something else is running, the figures will be off`,
    );
  }
  const plan = planTests(settings, await readVocabularySize(settings.model));
  const rounds = await measureRounds(settings, plan);
  const row = await summarizeRun(settings, plan, rounds, startedAt, load);
  if (settings.json) console.log(JSON.stringify(row, undefined, 2));
  else printReport(row);
  const otherCores = Math.max(...row.skim.otherCores, ...row.llamaCpp.otherCores);
  if (otherCores > QUIET_OTHER_CORES) {
    const disturbed = `other processes kept ${otherCores.toFixed(2)} cores busy, expected at most ${QUIET_OTHER_CORES}`;
    if (settings.record) throw new Error(`not recorded: ${disturbed} - stop them and measure again`);
    console.error(`warning: ${disturbed} - the figures are off`);
  }
  if (settings.record) await appendFile(RESULTS, `${JSON.stringify(row)}\n`);
});
