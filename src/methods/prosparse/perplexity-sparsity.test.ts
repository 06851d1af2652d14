/**
 * PPL-p % sparsity on the embedded tales, a SiLU model: nothing left out is the dense model, more may be left out for
 * more perplexity, and the equivalent model whose |x1| are norms has the perplexity of the model itself.
 */
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { measurePerplexity } from "../../evaluation/perplexity.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { openModelFile } from "../../formats/open-model-file.ts";
import { buildProgram } from "../../models/registry.ts";
import { nodePlatform } from "../../platform/node.ts";
import { loadModelOn } from "../../session/load-model.ts";
import { loadTokenizer } from "../../tokenizer/load-tokenizer.ts";
import { rewriteNeurons } from "./rewrite.ts";
import { measureSparsity } from "./sparsity.ts";
import { searchTruncation } from "./perplexity-sparsity.ts";

const MODELS = path.resolve(import.meta.dirname, "..", "..", "..", "models");
const FOLDER = path.join(MODELS, "tales");
const TEXT = Array.from(
  { length: 2 },
  (_, i) =>
    `On the ${["first", "second", "third"][i % 3]} day the ${["old", "young"][i % 2]} man went down to the sea, and there he found a ship. `,
).join("");
const CONTEXT = 64;

let file: ModelFile;
beforeAll(async () => {
  file = await openModelFile(nodePlatform(), FOLDER);
});
afterAll(() => file.close());

async function search() {
  const program = await buildProgram(file);
  const tokenizer = await loadTokenizer(file);
  const tokens = tokenizer.encode(TEXT, { addSpecial: false, parseSpecial: false });
  const segments = [{ tokens: tokens.slice(0, CONTEXT) }];
  const options = { text: TEXT, segments, context: CONTEXT, precision: 0.02, threads: 2 };
  const zeros = await measureSparsity(nodePlatform(), file, program, { segments, threads: 2, of: "x1" });
  return { zeros, found: await searchTruncation(nodePlatform(), file, program, tokenizer, options) };
}

it("leaves out more for more perplexity, and nothing for none", async () => {
  const { zeros, found } = await search();
  await using model = await loadModelOn(nodePlatform(), FOLDER, { engine: { threads: 2 } });
  const { perplexity } = await measurePerplexity(model, TEXT, { protocol: "hf", context: CONTEXT });
  expect(found.densePerplexity / perplexity).toBeCloseTo(1, 3);

  const exact = await found.at(0);
  expect(exact.perplexity / found.densePerplexity).toBeCloseTo(1, 6);
  expect([exact.sparsity, zeros.sparsity]).toEqual([0, 0]);
  const ten = await found.forPercent(10);
  expect(ten.perplexity).toBeLessThanOrEqual(1.1 * found.densePerplexity);
  expect(ten.sparsity).toBeGreaterThan(0.05);
  expect(ten.sparsity).toBeLessThan(0.95);
  expect(ten.layers).toHaveLength(6);
  const everything = await found.at(1);
  expect(everything.sparsity).toBe(1);
  expect(everything.perplexity).toBeGreaterThan(2 * found.densePerplexity);
});

it("is for models whose feed-forward is still plain", async () => {
  const calc = await openModelFile(nodePlatform(), path.join(MODELS, "calc"));
  const program = await buildProgram(calc);
  const sparse = rewriteNeurons(program, {
    method: "prosparse",
    version: 1,
    layers: [{ layer: 0, liveShare: 0.5 }],
  });
  const options = {
    text: TEXT,
    segments: [{ tokens: [1, 2, 3] }],
    context: CONTEXT,
    precision: 0.1,
    threads: 1,
  };
  await expect(
    searchTruncation(nodePlatform(), calc, sparse, await loadTokenizer(calc), options),
  ).rejects.toThrow(/5 of 6 gated feed-forwards are plain linears/);
  await calc.close();
});
