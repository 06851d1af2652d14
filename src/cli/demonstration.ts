/**
 * What `npm start` shows without flags: the embedded models at work, each dense and then while reading less,
 * and each time what was read. The same seed every time, so that the texts can be compared.
 */
import { measureRoofline } from "../evaluation/benchmark.ts";
import {
  ARITHMETIC_INSTRUCTION,
  evaluateExpression,
  writeExpression,
} from "../methods/attention-span/arithmetic.ts";
import { parseExpression } from "../methods/attention-span/parse-expression.ts";
import { nodePlatform } from "../platform/node.ts";
import type { GenerationResult } from "../session/generation-record.ts";
import type { Model } from "../session/model.ts";
import { loadModelOn } from "../session/load-model.ts";
import type { GenerationOptions, ModelOptions } from "../session/options.ts";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { type EmbeddedModel, embeddedModelPath } from "./embedded-models.ts";
import { formatSize, print, printLine, type Terminal } from "./terminal.ts";

/** One run of a model. */
interface Setting {
  readonly title: string;
  readonly options: ModelOptions;
  readonly generation?: GenerationOptions;
}

/** What a model is shown with. */
interface Exhibit {
  readonly name: EmbeddedModel;
  readonly prompt: string;
  /** Printed before the text. */
  readonly shown: string;
  readonly generation: GenerationOptions;
  readonly settings: readonly Setting[];
}

const EXPRESSION = "(37+5)*(12-4)";

const CALC: readonly Setting[] = [
  { title: "16-bit weights, full attention", options: {}, generation: { spans: "ignore" } },
  {
    title: "8-bit weights, each step reads only what the model says it needs (attention spans)",
    options: { weightFormat: "q8" },
  },
];

const TALES: Exhibit = {
  name: "tales",
  prompt: "The old king looked at the sea and",
  shown: "The old king looked at the sea and",
  generation: { maxTokens: 80, temperature: 0.7, seed: 8 },
  settings: [
    { title: "dense, 16-bit weights", options: {} },
    { title: "dense, 8-bit weights", options: { weightFormat: "q8" } },
    {
      title: "8-bit weights, Dynamic Input Pruning at density 0.5 (half of the feed-forward per token)",
      options: { weightFormat: "q8", density: 0.5 },
    },
  ],
};

const AFTERWARDS = `calc and tales are small models trained by skim itself (models/calc/README.md, models/tales/README.md).

Another expression:
  npm start -- "14*(((17-5)-5)*10)"
A model of your own (any GGUF file or Hugging Face folder of the families in README.md):
  npm start -- --model path/to/model.gguf --prompt "Why is the sky blue?"
Without a download, random weights, which talk nonsense at full speed:
  npx skim synth --shape tinyllama-1.1b --format q8_0 --out random.gguf && npx skim bench --model random.gguf

npx skim --help lists the commands: chat, bench, eval, compress, train and more.`;

/**
 * Runs every model in every setting; with an expression, the calculator on it alone.
 * OptionError when it is none.
 */
export async function demonstrate(terminal: Terminal, expression: string | undefined): Promise<void> {
  const calculator = calculatorFor(expression ?? EXPRESSION);
  await withInterrupt(async (signal) => {
    await show(terminal, calculator, signal);
    if (expression === undefined) await show(terminal, TALES, signal);
  });
  if (expression === undefined) printLine(terminal, AFTERWARDS);
}

function calculatorFor(text: string): Exhibit {
  const expression = parseExpression(text);
  const written = writeExpression(expression);
  return {
    name: "calc",
    prompt: `${ARITHMETIC_INSTRUCTION}${written}\n`,
    shown: `${written}   (which is ${evaluateExpression(expression)})\n`,
    generation: { temperature: 0 },
    settings: CALC,
  };
}

async function show(terminal: Terminal, exhibit: Exhibit, signal: AbortSignal): Promise<void> {
  const { name, prompt, shown, settings } = exhibit;
  for (const setting of settings) {
    printLine(terminal, `-- ${name}, ${setting.title}`);
    await using model = await loadModelOn(nodePlatform(), embeddedModelPath(name), {
      model: setting.options,
    });
    const generation = model.generate(prompt, { ...exhibit.generation, ...setting.generation, signal });
    print(terminal, shown);
    for await (const piece of generation) print(terminal, piece.text);
    const result = await generation.result();
    if (result.finishReason === "aborted") throw new InterruptedError();
    printLine(terminal, `${result.text.endsWith("\n") ? "" : "\n"}${await describeReads(model, result)}\n`);
  }
}

/** Bytes per token by kind, speed, and the share of what the same threads read from the same memory. */
async function describeReads(model: Model, { timing, reads, spans }: GenerationResult): Promise<string> {
  const { keyValue, ...weights } = reads.byKind;
  const weightBytes = Object.values(weights).reduce((sum, bytes) => sum + bytes, 0);
  const roofline = await measureRoofline(model.executor);
  const share = (timing.decodeTokensPerSecond * reads.bytesPerToken) / ((roofline ?? Number.NaN) * 1e9);
  const attended =
    spans === undefined
      ? ""
      : ` (${((100 * spans.positionsRead) / Math.max(1, spans.positionsInAll)).toFixed(0)} % of the context)`;
  return (
    `   ${formatSize(Math.round(reads.bytesPerToken))} read per token: weights ${formatSize(Math.round(weightBytes))}, ` +
    `keys and values ${formatSize(Math.round(keyValue))}${attended}; ${timing.decodeTokensPerSecond.toFixed(0)} tokens/s, ` +
    `${(100 * share).toFixed(0)} % of the roofline (of the caches: the model fits into them)`
  );
}
