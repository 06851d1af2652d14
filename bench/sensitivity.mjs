// What a model loses without each of its sublayers, untuned: perplexity on a held-out text, one sublayer left out at a time
// by the rewrite that `skim compress drop` uses. With --record it appends a row to results/sensitivity.jsonl.
//   node bench/sensitivity.mjs --model models/tales --text valid.txt [--characters 100000] [--threads 2] [--record]
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { measurePerplexity } from "../dist/evaluation/perplexity.js";
import { createWasmExecutor } from "../dist/executors/wasm/wasm-executor.js";
import { openModelFile } from "../dist/formats/open-model-file.js";
import { explainTensors, loadRecipeProgram } from "../dist/methods/recipes.js";
import { removeSublayers } from "../dist/methods/trimllm/rewrite.js";
import { listSublayers } from "../dist/methods/trimllm/sublayers.js";
import { nodePlatform } from "../dist/platform/node.js";
import { Model } from "../dist/session/model.js";
import { loadTokenizer } from "../dist/tokenizer/load-tokenizer.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";

const MOST_CONTEXT = 256;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    text: { type: "string" },
    characters: { type: "string", default: "100000" },
    threads: { type: "string", default: "2" },
    record: { type: "boolean", default: false },
  },
});
if (flags.model === undefined || flags.text === undefined) {
  console.error("sensitivity: expected --model MODEL and --text FILE");
  process.exit(2);
}
const [characters, threads] = [flags.characters, flags.threads].map(Number);
const text = readFileSync(flags.text, "utf8").slice(0, characters);
const platform = nodePlatform();
const before = readLoad();
const file = explainTensors(await openModelFile(platform, flags.model));
const tokenizer = await loadTokenizer(file);
const { program } = await loadRecipeProgram(file);
const context = Math.min(MOST_CONTEXT, program.contextLength);

const whole = await score(program);
console.log(`whole model: ${whole.perplexity.toFixed(3)}`);
const units = [];
for (const { layer, kind } of listSublayers(program)) {
  const { perplexity, meanNll } = await score(removeSublayers(program, [{ layer, kind }]));
  units.push({ layer, kind, perplexity, meanNll });
  console.log(`without ${layer}.${kind}: ${perplexity.toFixed(3)}`);
}
await file.close();

const row = {
  schema: "sensitivity/1",
  ...describeRun(
    `node bench/sensitivity.mjs --model ${path.basename(flags.model)} --text ${path.basename(flags.text)} --characters ${characters} --threads ${threads}`,
    { before },
  ),
  model: path.basename(flags.model),
  protocol: "hf",
  context,
  threads,
  perplexity: whole.perplexity,
  meanNll: whole.meanNll,
  tokensScored: whole.tokensScored,
  units,
};
if (flags.record) appendRow("sensitivity", row);
process.exit(0);

/** Perplexity of `program` over the weights of the file. */
async function score(program) {
  const executor = await createWasmExecutor(platform, program, file, {
    threads,
    limits: { contextLength: context, slots: 1, stepTokens: context },
    keyValueFormat: "f16",
    weightFormat: "auto",
    simd: "auto",
    onProgress: undefined,
  });
  try {
    const model = new Model({
      file,
      tokenizer,
      executor,
      generationDefaults: {},
      spans: undefined,
      loadMs: 0,
      now: () => platform.now(),
    });
    return await measurePerplexity(model, text, { protocol: "hf", context });
  } finally {
    await executor.dispose();
  }
}
