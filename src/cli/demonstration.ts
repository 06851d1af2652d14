/**
 * What `npm start` shows without arguments: the embedded model writes a few sentences, first dense and then while
 * reading less, and each time what was read. The same seed both times, so that the texts can be compared.
 */
import { measureRoofline } from "../evaluation/benchmark.ts";
import { nodePlatform } from "../platform/node.ts";
import type { GenerationResult } from "../session/generation-record.ts";
import type { Model } from "../session/model.ts";
import { loadModelOn } from "../session/load-model.ts";
import type { ModelOptions } from "../session/options.ts";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { embeddedModelPath } from "./embedded-models.ts";
import { formatSize, print, printLine, type Terminal } from "./terminal.ts";

interface Setting {
  readonly title: string;
  readonly options: ModelOptions;
}

const SETTINGS: readonly Setting[] = [
  { title: "dense, 16-bit weights", options: {} },
  { title: "dense, 8-bit weights", options: { weightFormat: "q8" } },
  {
    title: "8-bit weights, Dynamic Input Pruning at density 0.5 (half of the feed-forward per token)",
    options: { weightFormat: "q8", density: 0.5 },
  },
];

const PROMPT = "The old king looked at the sea and";
const GENERATION = { maxTokens: 80, temperature: 0.7, seed: 8 };

const AFTERWARDS = `These were random draws of a model of 3 million parameters, trained by skim itself (models/tales/README.md).

With a model of your own (any GGUF file or Hugging Face folder of the families in README.md):
  npm start -- --model path/to/model.gguf --prompt "Why is the sky blue?"
Without a download, random weights, which talk nonsense at full speed:
  npx skim synth --shape tinyllama-1.1b --format q8_0 --out random.gguf && npx skim bench --model random.gguf

npx skim --help lists the commands: chat, bench, eval, compress, train and more.`;

/** Runs every setting in turn. */
export async function demonstrate(terminal: Terminal): Promise<void> {
  await withInterrupt(async (signal) => {
    for (const setting of SETTINGS) {
      printLine(terminal, `-- tales, ${setting.title}`);
      const path = embeddedModelPath("tales");
      await using model = await loadModelOn(nodePlatform(), path, { model: setting.options });
      const generation = model.generate(PROMPT, { ...GENERATION, signal });
      print(terminal, PROMPT);
      for await (const piece of generation) print(terminal, piece.text);
      const result = await generation.result();
      if (result.finishReason === "aborted") throw new InterruptedError();
      printLine(terminal, `\n${await describeReads(model, result)}\n`);
    }
  });
  printLine(terminal, AFTERWARDS);
}

/** Bytes per token by kind, speed, and the share of what the same threads read from the same memory. */
async function describeReads(model: Model, { timing, reads }: GenerationResult): Promise<string> {
  const { keyValue, ...weights } = reads.byKind;
  const weightBytes = Object.values(weights).reduce((sum, bytes) => sum + bytes, 0);
  const roofline = await measureRoofline(model.executor);
  const share = (timing.decodeTokensPerSecond * reads.bytesPerToken) / ((roofline ?? Number.NaN) * 1e9);
  return (
    `   ${formatSize(Math.round(reads.bytesPerToken))} read per token: weights ${formatSize(Math.round(weightBytes))}, ` +
    `keys and values ${formatSize(Math.round(keyValue))}; ${timing.decodeTokensPerSecond.toFixed(0)} tokens/s, ` +
    `${(100 * share).toFixed(0)} % of the roofline (of the caches: the model fits into them)`
  );
}
