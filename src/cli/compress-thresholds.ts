/**
 * `skim compress cats` and `skim compress teal`: columns chosen by thresholds that a calibration text gives.
 */
import type { Command } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { SEGMENT_TOKENS } from "../methods/calibration-segments.ts";
import { calibrateThresholds, type ThresholdSite } from "../methods/dynamic-input-pruning/calibration.ts";
import { keptForDensity } from "../methods/dynamic-input-pruning/densities.ts";
import { type ColumnRecipe, catsRecipe } from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import type { Program } from "../program/program.ts";
import { realNumber, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { CALIBRATION_TEXT, readCalibration } from "./calibration-text.ts";
import { feedForwardWeights } from "./feed-forward-weights.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { writeWithRecipes } from "./recipe-folder.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";

interface ThresholdFlags {
  readonly model: string;
  readonly text: string;
  readonly density: number;
  readonly segments: number;
  readonly threads?: number;
  readonly out: string;
  readonly json?: boolean;
}

interface Method {
  readonly name: "cats" | "teal";
  readonly description: string;
  readonly densityText: string;
  readonly explanation: string;
  readonly sites: readonly ThresholdSite[];
  /** Share of the magnitudes that a density keeps. */
  readonly keptFor: (density: number) => number;
}

const CATS: Method = {
  name: "cats",
  description: "read only the neurons whose activated gate reaches a threshold (CATS)",
  densityText: "share of the feed-forward weights to read, from 1/3",
  explanation: `Gate stays dense; rows of up and columns of down are read for neurons whose |activation(gate)| reaches the layer's
threshold.`,
  sites: ["neurons"],
  keptFor: (density) => keptForDensity("cats", density),
};

const TEAL: Method = {
  name: "teal",
  description: "read only the columns whose input reaches a threshold, in all linears (TEAL)",
  densityText: "share of the weights of attention and feed-forward to read",
  explanation: `The inputs of query, key, value, of the attention's output, of gate, up and of down are compared with thresholds of
their layer. All have the same level; TEAL's search for a level of each is not done.`,
  sites: ["input", "glu", "attentionInput", "attended"],
  keptFor: (density) => density,
};

export function addThresholdCommands(group: Command, terminal: Terminal): void {
  for (const method of [CATS, TEAL]) addThresholdCommand(group, terminal, method);
}

function addThresholdCommand(group: Command, terminal: Terminal, method: Method): void {
  const examples = `
Examples:
  $ skim compress ${method.name} --model ./SmolLM-135M --text sample.txt --density 0.6 --out smollm-${method.name}

${method.explanation}
Thresholds are the quantiles of the magnitudes on the text, evaluated densely, so --density holds on average and
every token reads what it reads. Prompts are read densely. Nothing is removed from the weights.`;
  group
    .command(method.name)
    .description(method.description)
    .addHelpText("after", examples)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", CALIBRATION_TEXT)
    .requiredOption("--density <share>", method.densityText, realNumber(0, 1))
    .option("--segments <n>", `most segments of ${SEGMENT_TOKENS} tokens to use`, wholeNumber(1), 64)
    .option(...THREADS_FLAG)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: ThresholdFlags) => compress(terminal, method, flags));
}

async function compress(terminal: Terminal, method: Method, flags: ThresholdFlags): Promise<void> {
  const kept = method.keptFor(flags.density);
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
      const { program } = await loadRecipeProgram(file);
      // What it cannot be applied to is said before the calibration runs.
      rewriteColumns(
        program,
        recipeOf(method, () => ({ kind: "density", density: kept })),
      );
      const recipe = await calibrate(terminal, method, flags, { file, program, kept, signal });
      await writeWithRecipes(terminal, file, [recipe], flags.out, signal);
      const rewritten = rewriteColumns(program, recipe);
      const density = feedForwardWeights(rewritten) / feedForwardWeights(rewritten, "prompt");
      if (flags.json === true) printJson(terminal, { out: flags.out, recipe, density });
      else {
        printNote(
          terminal,
          `wrote ${flags.out}: on the text a token reads ${(100 * density).toFixed(2)} % of the feed-forward weights on average`,
        );
      }
    }),
  );
}

interface Calibrated {
  readonly file: ModelFile;
  readonly program: Program;
  readonly kept: number;
  readonly signal: AbortSignal;
}

async function calibrate(
  terminal: Terminal,
  { sites, ...method }: Method,
  flags: ThresholdFlags,
  { file, program, kept, signal }: Calibrated,
): Promise<ColumnRecipe> {
  const platform = nodePlatform();
  const segments = await readCalibration(file, program, flags.text, flags.segments);
  const threads = flags.threads ?? platform.coreCount;
  const thresholds = await withProgress(terminal, "calibrating", "tokens", (onProgress) =>
    calibrateThresholds(platform, file, program, { sites, kept, segments, threads, signal, onProgress }),
  );
  return recipeOf({ sites, ...method }, (site) => {
    const choice = thresholds.get(site);
    if (choice === undefined) throw new Error(`calibration: no thresholds of ${site}`);
    return choice;
  });
}

type Choice = NonNullable<ColumnRecipe["input"]>;

function recipeOf({ name, sites }: Method, choiceOf: (site: ThresholdSite) => Choice): ColumnRecipe {
  if (name === "cats") return catsRecipe(choiceOf("neurons"));
  const choices = Object.fromEntries(sites.map((site) => [site, choiceOf(site)]));
  return { method: "dynamic-input-pruning", version: 1, ...choices };
}
