/**
 * `skim compress prosparse`: a ReLU model whose feed-forward skips the neurons that a token leaves at zero.
 */
import type { Command } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { overlayFile } from "../formats/overlay-file.ts";
import { SEGMENT_TOKENS, type Segment } from "../methods/calibration-segments.ts";
import type { ProSparseRecipe } from "../methods/prosparse/recipe.ts";
import { rewriteNeurons, sparseLayers } from "../methods/prosparse/rewrite.ts";
import { measureSparsity } from "../methods/prosparse/sparsity.ts";
import { loadRecipeProgram, loadTrainableProgram, readRecipes, recipeSection } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import type { Program } from "../program/program.ts";
import { realNumber, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { CALIBRATION_TEXT, readCalibration } from "./calibration-text.ts";
import {
  describePlan,
  type LayerPlan,
  type PredictorFlags,
  planLayer,
  predictorTable,
  recipeOf,
  tensorsOf,
  trainLayerPredictors,
} from "./compress-predictors.ts";
import { feedForwardWeights } from "./feed-forward-weights.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeNewFolder } from "./model-folder.ts";
import { withProgress } from "./progress.ts";
import { printJson, printLine, printNote, type Terminal } from "./terminal.ts";

interface ProSparseFlags extends PredictorFlags {
  readonly model: string;
  readonly text: string;
  readonly segments: number;
  readonly predictor?: boolean;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim compress prosparse --model ./prosparse-llama-2-7b --text sample.txt --out prosparse-exact
  $ skim compress prosparse --model tales-relu --text sample.txt --most-live 0.5 --out tales-sparse
  $ skim compress prosparse --model tales-relu --text sample.txt --predictor --segments 64 --out tales-predicted

For models whose feed-forward activation is relu or fatrelu (skim train prosparse makes them). The gate is computed
densely; rows of up and columns of down are read only for neurons whose gate is open, so the result is that of the dense
model. The text shows how many neurons live in each layer: layers where more than --most-live do stay dense.

--predictor trains two small matrices per layer on the text (the last twentieth is held out) that say which neurons will
live, so that gate is read for these alone too. That is approximate: a live neuron that is not predicted is missing. A layer
gets a predictor where it reads less than exact mode and finds at least --least-recall of the live neurons; the others are
exact or dense, and named. Look at skim eval perplexity before using the result.`;

export function addProSparseCompressCommand(group: Command, terminal: Terminal): void {
  group
    .command("prosparse")
    .description("skip feed-forward neurons whose gate is closed, exactly (ReLU models)")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", CALIBRATION_TEXT)
    .option("--most-live <share>", "largest share of live neurons that pays", realNumber(0, 1), 0.6)
    .option("--segments <n>", `most segments of ${SEGMENT_TOKENS} tokens to use`, wholeNumber(1), 16)
    .option("--predictor", "predict live neurons before gate is computed (approximate)")
    .option("--rank <n>", "rank of the predictors (default: a quarter of the width)", wholeNumber(1))
    .option("--least-recall <share>", "of live neurons that a predictor must find", realNumber(0, 1), 0.9)
    .option("--epochs <n>", "most passes over the text per predictor", wholeNumber(1), 20)
    .option("--seed <n>", "seed of the predictors and the order of tokens", wholeNumber(0, 0xffffffff), 0)
    .option(...THREADS_FLAG)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: ProSparseFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: ProSparseFlags): Promise<void> {
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
      const { program } = await loadRecipeProgram(file);
      const layers = sparseLayers(program);
      const segments = await readCalibration(file, program, flags.text, flags.segments);
      const shares = await countLive(terminal, flags, file, program, segments, signal);
      const live = layers.map((layer, i) => ({ layer, liveShare: shares[i] }));
      const predictors =
        flags.predictor === true
          ? await trainLayerPredictors(terminal, flags, file, program, segments, signal)
          : [];
      const plans = live.map((share) =>
        planLayer(
          share,
          predictors.find(({ layer }) => layer === share.layer),
          flags,
        ),
      );
      const written = await writeSparse(terminal, flags, file, program, plans, signal);
      const whole = (await loadTrainableProgram(file)).program;
      report(terminal, flags, plans, feedForwardWeights(written) / feedForwardWeights(whole));
    }),
  );
}

/** Share of open gates of every gated feed-forward on the text. */
async function countLive(
  terminal: Terminal,
  { threads }: ProSparseFlags,
  file: ModelFile,
  program: Program,
  segments: readonly Segment[],
  signal: AbortSignal,
): Promise<number[]> {
  const platform = nodePlatform();
  const measured = await withProgress(terminal, "counting live neurons", "tokens", (onProgress) =>
    measureSparsity(platform, file, program, {
      segments,
      of: "gates",
      threads: threads ?? platform.coreCount,
      signal,
      onProgress,
    }),
  );
  return measured.layers.map((closed) => 1 - closed);
}

/** The program that was written. */
async function writeSparse(
  terminal: Terminal,
  flags: ProSparseFlags,
  file: ModelFile,
  program: Program,
  plans: readonly LayerPlan[],
  signal: AbortSignal,
): Promise<Program> {
  const recipes = [...readRecipes(file)];
  const sparse = plans.filter(({ mode }) => mode !== "dense");
  const recipe: ProSparseRecipe = { method: "prosparse", version: 1, layers: sparse.map(recipeOf) };
  if (sparse.length > 0) recipes.push(recipe);
  const rewritten = sparse.length === 0 ? program : rewriteNeurons(program, recipe);
  const overlay = overlayFile(file, sparse.flatMap(tensorsOf), recipeSection(recipes));
  await writeNewFolder(terminal, overlay, flags.out, signal);
  return rewritten;
}

function report(
  terminal: Terminal,
  flags: ProSparseFlags,
  plans: readonly LayerPlan[],
  feedForwardShare: number,
): void {
  const layersOf = (mode: LayerPlan["mode"]) => plans.filter((plan) => plan.mode === mode);
  if (flags.json === true) {
    const dense = layersOf("dense").map(({ layer }) => layer);
    printJson(terminal, { out: flags.out, layers: plans.map(describePlan), dense, feedForwardShare });
    return;
  }
  if (flags.predictor === true) printLine(terminal, predictorTable(plans));
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const live = plans.reduce((sum, { liveShare }) => sum + liveShare, 0) / plans.length;
  printNote(
    terminal,
    `wrote ${flags.out}: ${percent(live)} of the neurons live on average, a generated token reads ${percent(feedForwardShare)} of the feed-forward weights`,
  );
  const list = (some: readonly LayerPlan[]) =>
    some.map(({ layer, liveShare }) => `${layer} (${percent(liveShare)})`).join(", ");
  const dense = layersOf("dense");
  if (dense.length > 0) {
    printNote(terminal, `layers that stay dense, too many of their neurons live: ${list(dense)}`);
  }
  const unpredicted = plans.filter(({ mode, predictor }) => mode !== "predicted" && predictor !== undefined);
  const blind = unpredicted.filter(({ predictor }) => (predictor?.recall ?? 1) < flags.leastRecall);
  if (blind.length > 0) {
    printNote(terminal, `layers whose predictor finds too few live neurons to be used: ${list(blind)}`);
  }
  const costly = unpredicted.filter((plan) => !blind.includes(plan));
  if (costly.length > 0) {
    printNote(terminal, `layers whose predictor would read more than it spares: ${list(costly)}`);
  }
}
