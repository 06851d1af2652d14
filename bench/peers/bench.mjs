// Times skim and llama.cpp on the same GGUF file: interleaved rounds, each engine in a fresh process per round, the
// same token ids and threads, and the memory roofline measured in the same rounds. wllama joins in when asked for.
//   node bench.mjs --model F [--prompt 512] [--decode 128] [--depth 0,1024,4096] [--repeats 5] [--threads 2]
//                  [--kv-format f16|f32] [--flash-attention] [--wllama CHROMIUM] [--record] [--json]
import { appendFile, stat } from "node:fs/promises";
import path from "node:path";
import { BATCH_SIZE, planTests } from "./bench-plan.mjs";
import { printReport } from "./bench-report.mjs";
import { describeCommand, readSettings } from "./bench-settings.mjs";
import { summarizeTests, summarizeValues } from "./bench-summary.mjs";
import { runInChild } from "./child-process.mjs";
import { runCommand } from "./command.mjs";
import { describeMachine, QUIET_LOAD_PER_CORE, QUIET_OTHER_CORES, readCommit, readLoad } from "./machine.mjs";
import { importSkim } from "./skim-build.mjs";

const RESULTS = path.resolve(import.meta.dirname, "..", "results", "peers.jsonl");
const CHILDREN = { skim: "skim-speed.mjs", llamaCpp: "llama-cpp-speed.mjs", wllama: "wllama-speed.mjs" };

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

async function measureRounds(settings, plan, engines) {
  const { model, threads, keyValueFormat, flashAttention, chromium } = settings;
  const job = { model, threads, keyValueFormat, flashAttention, chromium, batchSize: BATCH_SIZE, ...plan };
  const rounds = [];
  for (let round = 1; round <= settings.repeats; round++) {
    const results = {};
    for (const engine of engines) {
      console.error(`round ${round} of ${settings.repeats}: ${engine} ...`);
      results[engine] = await runInChild(CHILDREN[engine], job);
    }
    rounds.push(results);
  }
  return rounds;
}

/** The complete row as documented in bench/results/README.md. */
async function summarizeRun(settings, plan, rounds, peers, startedAt, load) {
  const rates = rounds.map(({ skim }) => skim.gigabytesPerSecond);
  // A disturbed measurement can only be too low, so the best one is nearest to the ceiling.
  const gigabytesPerSecond = Math.max(...rates);
  const engine = async (name) => ({
    loadMs: (await summarizeValues(rounds.map((round) => round[name].loadMs))).median,
    peakMemoryBytes: Math.max(...rounds.map((round) => round[name].peakMemoryBytes)),
    otherCores: rounds.map((round) => round[name].otherCores),
  });
  const { skim, llamaCpp, wllama } = rounds[0];
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
      parameters: skim.parameters,
      tensorBytes: skim.tensorBytes,
    },
    threads: settings.threads,
    keyValueFormat: settings.keyValueFormat,
    roofline: { gigabytesPerSecond, rounds: rates },
    skim: { ...(await engine("skim")), weightBytes: skim.weightBytes, simd: skim.simd },
    llamaCpp: {
      ...(await engine("llamaCpp")),
      ...llamaCpp.versions,
      flashAttention: settings.flashAttention,
    },
    ...(wllama === undefined ? {} : { wllama: { release: wllama.release, browser: wllama.browser } }),
    tests: await summarizeTests(plan.tests, rounds, peers, gigabytesPerSecond),
  };
}

/** Throws when other processes disturbed a run that is to be recorded. */
function checkDisturbance(row, record) {
  const otherCores = Math.max(...row.skim.otherCores, ...row.llamaCpp.otherCores);
  if (otherCores <= QUIET_OTHER_CORES) return;
  const disturbed = `other processes kept ${otherCores.toFixed(2)} cores busy, expected at most ${QUIET_OTHER_CORES}`;
  if (record) throw new Error(`not recorded: ${disturbed} - stop them and measure again`);
  console.error(`warning: ${disturbed} - the figures are off`);
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
  const peers = settings.chromium === undefined ? ["llamaCpp"] : ["llamaCpp", "wllama"];
  const rounds = await measureRounds(settings, plan, ["skim", ...peers]);
  const row = await summarizeRun(settings, plan, rounds, peers, startedAt, load);
  if (settings.json) console.log(JSON.stringify(row, undefined, 2));
  else printReport(row, peers);
  checkDisturbance(row, settings.record);
  if (settings.record) await appendFile(RESULTS, `${JSON.stringify(row)}\n`);
});
