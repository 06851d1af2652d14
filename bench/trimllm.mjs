// Finished runs of `skim train trim` side by side: what each size holds and scores, the test set's verdict, perplexity on
// other text than the domain's, and decode speed of the chosen size beside the whole model, in turns, next to the bound by
// bytes. With --record it appends a row to results/trimllm.jsonl.
//   node bench/trimllm.mjs --base models/tales --text valid.txt [--characters 100000] [--rounds 9] [--threads 2] [--record] \
//     quarter-0=runs/quarter-0 ...
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { sizeFolder, TRIM_STATE } from "../dist/cli/run-folder.js";
import { measurePerplexity } from "../dist/evaluation/perplexity.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { nodePlatform } from "../dist/platform/node.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { decodeSpeed, measureInTurns, median, nameSubjects, parseFolder } from "./subjects.mjs";

const TOKENS = 64;
const PROMPT = "The company said that its operating profit";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: "string" },
    text: { type: "string" },
    characters: { type: "string", default: "100000" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "9" },
    record: { type: "boolean", default: false },
  },
});
if (flags.text === undefined || flags.base === undefined || positionals.length === 0) {
  console.error(
    "trimllm: expected --base MODEL, --text FILE and at least one NAME=FOLDER of skim train trim",
  );
  process.exit(2);
}
const [characters, threads, rounds] = [flags.characters, flags.threads, flags.rounds].map(Number);
const text = readFileSync(flags.text, "utf8").slice(0, characters);
const platform = nodePlatform();
const before = readLoad();

const runs = positionals.map((positional) => {
  const { name, folder } = parseFolder("trimllm", positional);
  const state = JSON.parse(readFileSync(path.join(folder, TRIM_STATE), "utf8"));
  if (state.chosen === undefined) {
    console.error(`trimllm: ${folder} holds a run that has not ended - resume it first`);
    process.exit(1);
  }
  // The last thing a run does, and only where it was given a test set.
  if (state.test === undefined) {
    console.error(
      `trimllm: ${folder} holds a run without scores on a test set - resume it if it had --test, otherwise train again with it`,
    );
    process.exit(1);
  }
  return { name, folder, state };
});

const base = await describe(flags.base);
const described = [];
for (const { name, folder, state } of runs) {
  const whole = await describe(sizeFolder(folder, 0));
  const chosen = await describe(sizeFolder(folder, state.chosen.round));
  described.push({ name, state, whole, chosen });
}

const subjects = [base, ...described.flatMap(({ whole, chosen }) => [whole, chosen])];
const { roofline, otherCores } = await measureInTurns({
  rounds,
  executor: base.model.executor,
  timings: subjects.map(({ model, values }) => ({ values, measure: () => decodeSpeed(model, TOKENS) })),
});

const row = {
  schema: "trimllm/1",
  ...describeRun(
    `node bench/trimllm.mjs --base ${path.basename(flags.base)} --text ${path.basename(flags.text)} --characters ${characters} --threads ${threads} --rounds ${rounds} ${nameSubjects(positionals)}`,
    { before, otherCores },
  ),
  threads,
  roofline: { gigabytesPerSecond: roofline },
  base: { model: path.basename(flags.base), ...factsOf(base) },
  runs: described.map(({ name, state, whole, chosen }) => {
    const { settings, batch, context, weights } = JSON.parse(state.fingerprint);
    const { trained, untuned, deletions, end, test, splits } = state;
    const bound =
      state.rounds[0].result.size.readBytes / state.rounds[state.chosen.round].result.size.readBytes;
    return {
      name,
      settings: { ...settings, batch, context, weights },
      splits,
      trained,
      untuned,
      deletions,
      end,
      sizes: state.rounds.map(({ dropped, tied, scanSeconds, result }) => ({
        dropped,
        tied,
        scanSeconds,
        ...result,
      })),
      chosen: {
        ...state.chosen,
        ...factsOf(chosen),
        speedBound: bound,
        speedRatio: median(chosen.values) / median(whole.values),
      },
      whole: factsOf(whole),
      test,
    };
  }),
};
for (const { model } of subjects) await model.dispose();
console.log(
  "| run | size | dropped | parameters | bound | measured | test accuracy | whole tuned | other text |\n|---|---|---|---|---|---|---|---|---|",
);
for (const { name, sizes, chosen, test } of row.runs) {
  const dropped = sizes.slice(0, chosen.round + 1).flatMap((size) => size.dropped);
  const percent = (share) => (100 * share).toFixed(2);
  console.log(
    `| ${name} | ${chosen.round} | ${dropped.join(" ")} | ${(sizes[chosen.round].size.parameters / 1e6).toFixed(2)} M | ${chosen.speedBound.toFixed(2)} | ${chosen.speedRatio.toFixed(2)} | ${percent(test.chosen.accuracy)} | ${percent(test.whole.accuracy)} | ${chosen.otherPerplexity.toFixed(1)} |`,
  );
}
console.log(
  `other text before tuning: ${row.base.otherPerplexity.toFixed(1)}; other processes kept ${otherCores.toFixed(2)} cores busy`,
);
if (flags.record) appendRow("trimllm", row);
process.exit(0);

async function describe(folder) {
  const model = await loadModelOn(platform, folder, { engine: { threads } });
  const { perplexity } = await measurePerplexity(model, text, {
    protocol: "hf",
    context: Math.min(256, model.contextLength),
  });
  const { text: generated } = await model.generate(PROMPT, { maxTokens: 24, temperature: 0 }).result();
  console.error(`${folder}: perplexity ${perplexity.toFixed(2)} on other text; "${generated}"`);
  return { model, perplexity, generated, values: [] };
}

function factsOf({ model, perplexity, generated, values }) {
  return {
    otherPerplexity: perplexity,
    generated,
    bytesPerToken: model.executor.readBytes(TOKENS).total,
    decode: { tokensPerSecond: median(values), values },
  };
}
