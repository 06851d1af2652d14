// Quality with a cache in the loop (DIP-CA): perplexity and hits for densities times gammas, every token of the text sparse, as
// simulations of a memory that holds a share of the columns. Quality and hits do not depend on the machine; nothing is
// timed. Prints a table; with --record it appends a row to results/cache-quality.jsonl.
//   node bench/cache-quality.mjs --model models/tales --text valid.txt [--characters 20000] [--protocol hf]
//     [--densities 0.9,0.7,0.5] [--gammas 1,0.5,0.2,0.1,0] [--policies lfu] [--share 0.5] [--record]
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { measurePerplexity } from "../dist/evaluation/perplexity.js";
import { nodePlatform } from "../dist/platform/node.js";
import { loadModelOn } from "../dist/session/load-model.js";
import { readCommit } from "./peers/machine.mjs";
import { appendRow } from "./rows.mjs";

/** @import { PerplexityProtocol } from "../dist/evaluation/perplexity.js" */

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    text: { type: "string" },
    characters: { type: "string", default: "1000000000" },
    protocol: { type: "string", default: "hf" },
    densities: { type: "string", default: "0.9,0.7,0.5" },
    gammas: { type: "string", default: "1,0.5,0.2,0.1,0" },
    policies: { type: "string", default: "lfu" },
    share: { type: "string", default: "0.5" },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined || flags.text === undefined) {
  console.error("cache-quality: expected --model and --text");
  process.exit(2);
}
const { model: source } = flags;
const protocol = /** @type {PerplexityProtocol} */ (flags.protocol);
const numbers = (list) => list.split(",").map(Number);
const [densities, gammas] = [numbers(flags.densities), numbers(flags.gammas)];
const policies = flags.policies.split(",");
const text = readFileSync(flags.text, "utf8").slice(0, Number(flags.characters));

const dense = await measure(undefined, undefined);
console.log(`dense: perplexity ${dense.perplexity.toFixed(4)}, mean NLL ${dense.meanNll.toFixed(4)}`);
const cells = [];
for (const policy of policies) {
  console.log(`\n${policy}\n| D | ${gammas.map((gamma) => `gamma ${gamma}`).join(" | ")} |`);
  console.log(`|---|${gammas.map(() => "---").join("|")}|`);
  for (const density of densities) {
    const row = [];
    for (const gamma of gammas)
      row.push(await measure(density, { gamma, policy, share: Number(flags.share) }));
    cells.push(...row);
    const entries = row.map(
      ({ meanNll, perplexity, hitRate }) =>
        `${meanNll.toFixed(4)} (ppl ${perplexity.toFixed(2)}, ${(100 * hitRate).toFixed(0)} %)`,
    );
    console.log(`| ${density} | ${entries.join(" | ")} |`);
  }
}
const row = {
  schema: "cache-quality/1",
  date: new Date().toISOString(),
  ...readCommit(),
  command: `node bench/cache-quality.mjs --model ${path.basename(flags.model)} --text ${path.basename(flags.text)} --characters ${text.length} --protocol ${protocol} --densities ${flags.densities} --gammas ${flags.gammas} --policies ${flags.policies} --share ${flags.share}`,
  model: path.basename(flags.model),
  protocol,
  characters: text.length,
  share: Number(flags.share),
  dense,
  cells,
};
if (flags.record) appendRow("cache-quality", row);

/** One cell: the text read token by token, caches empty at every window's start. */
async function measure(density, columnCache) {
  const model = await loadModelOn(nodePlatform(), source, {
    model: { density, keyValueFormat: "f32" },
    engine: { threads: 1, columnCache },
  });
  try {
    const { perplexity, meanNll, tokensScored } = await measurePerplexity(model, text, {
      protocol,
      context: Math.min(256, model.contextLength),
    });
    const { chosen = 1, hits = 0 } = model.executor.cacheCounts?.() ?? {};
    return { density, ...columnCache, perplexity, meanNll, tokensScored, hitRate: hits / chosen };
  } finally {
    await model.dispose();
  }
}
