// Models side by side by how many feed-forward neurons do nothing: exact zeros of x1 on several texts, and on the first of them
// what may be left out for a given loss of perplexity (PPL-p %, Sparsing Law) and at a given error of the outputs (CETT). With
// --record it appends a row to results/sparsity.jsonl.
//   node bench/sparsity.mjs --text valid.txt --text wiki.txt [--characters 8000] [--percent 1] [--cett 0.2] [--threads 2] \
//     [--record] tales=models/tales relu=runs/tales-relu
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { openModelFile } from "../dist/formats/open-model-file.js";
import { readSegments, SEGMENT_TOKENS } from "../dist/methods/calibration-segments.js";
import { SEARCH_PRECISION, searchTruncation } from "../dist/methods/prosparse/perplexity-sparsity.js";
import { measureSparsity } from "../dist/methods/prosparse/sparsity.js";
import { loadTrainableProgram, readRecipes } from "../dist/methods/recipes.js";
import { nodePlatform } from "../dist/platform/node.js";
import { loadTokenizer } from "../dist/tokenizer/load-tokenizer.js";
import { readLoad } from "./peers/machine.mjs";
import { appendRow, describeRun } from "./rows.mjs";
import { nameSubjects, parseFolder } from "./subjects.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: "string", multiple: true, default: [] },
    characters: { type: "string", default: "8000" },
    percent: { type: "string", default: "1" },
    cett: { type: "string", default: "0.2" },
    threads: { type: "string", default: "2" },
    record: { type: "boolean", default: false },
  },
});
if (flags.text.length === 0 || positionals.length === 0) {
  console.error("sparsity: expected at least one --text FILE and at least one NAME=MODEL");
  process.exit(2);
}
const [characters, percent, cett, threads] = [flags.characters, flags.percent, flags.cett, flags.threads].map(
  Number,
);
const texts = flags.text.map((file) => ({
  name: path.basename(file),
  text: readFileSync(file, "utf8").slice(0, characters),
}));
const platform = nodePlatform();
const before = readLoad();

const models = [];
for (const positional of positionals) {
  const { name, folder } = parseFolder("sparsity", positional);
  models.push(await describe(name, folder));
  console.error(`${name}: done`);
}
const row = {
  schema: "sparsity/1",
  ...describeRun(
    `node bench/sparsity.mjs ${texts.map(({ name }) => `--text ${name}`).join(" ")} --characters ${characters} --percent ${percent} --cett ${cett} --threads ${threads} ${nameSubjects(positionals)}`,
    { before },
  ),
  threads,
  models,
};
const share = (value) => `${(100 * value).toFixed(2)} %`;
console.log(
  `| model | activation | ${texts.map(({ name }) => `zeros, ${name}`).join(" | ")} | PPL-${percent} % | CETT ${cett} |`,
);
console.log(`|---|---|${texts.map(() => "---|").join("")}---|---|`);
for (const { name, activation, zeros, pplPercent, cett: truncated } of models) {
  console.log(
    `| ${name} | ${activation.kind} | ${zeros.map(({ sparsity }) => share(sparsity)).join(" | ")} | ${share(pplPercent.sparsity)} | ${share(truncated.sparsity)} (perplexity ${truncated.perplexity.toFixed(2)}) |`,
  );
}
if (flags.record) appendRow("sparsity", row);

async function describe(name, folder) {
  const file = await openModelFile(platform, folder);
  const { program } = await loadTrainableProgram(file);
  const tokenizer = await loadTokenizer(file);
  const cut = { segmentTokens: SEGMENT_TOKENS, maxSegments: Number.POSITIVE_INFINITY };
  const zeros = [];
  for (const { name: source, text } of texts) {
    const segments = await readSegments(file, text, cut);
    zeros.push({
      text: source,
      ...(await measureSparsity(platform, file, program, { segments, of: "x1", threads })),
    });
  }
  const [{ text }] = texts;
  const options = {
    text,
    segments: await readSegments(file, text, cut),
    context: SEGMENT_TOKENS,
    precision: SEARCH_PRECISION,
    threads,
  };
  const search = await searchTruncation(platform, file, program, tokenizer, options);
  const result = {
    name,
    model: path.basename(folder),
    activation: program.ops.filter((op) => op.kind === "glu")[0].activation,
    // What its predictors reached on the text that was held out of their training.
    predictors: readRecipes(file)
      .filter((recipe) => recipe.method === "prosparse")
      .flatMap(({ layers }) => layers.filter(({ predictor }) => predictor !== undefined)),
    zeros,
    densePerplexity: search.densePerplexity,
    pplPercent: { percent, ...(await search.forPercent(percent)) },
    cett: await search.at(cett),
  };
  await file.close();
  return result;
}
