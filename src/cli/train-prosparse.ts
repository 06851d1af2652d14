/**
 * `skim train prosparse`: ReLU instead of the model's activation, training under a rising L1 penalty, then
 * the search for a threshold (ProSparse, arXiv 2402.13516). Controls at equal tokens: --peak 0 is plain ReLU,
 * --fixed a constant factor.
 */
import path from "node:path";
import type { Command } from "commander";
import { measurePerplexity } from "../evaluation/perplexity.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { readSegments, SEGMENT_TOKENS } from "../methods/calibration-segments.ts";
import { checkStages, type L1Stages, l1Factor, paperStages } from "../methods/prosparse/schedule.ts";
import { measureSparsity } from "../methods/prosparse/sparsity.ts";
import { chooseThreshold, type ThresholdTrial } from "../methods/prosparse/thresholds.ts";
import { loadTrainableProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import type { TrainingProgram } from "../program/training-ops.ts";
import { loadModelOn } from "../session/load-model.ts";
import { realNumber, realNumbers, wholeNumber, wholeNumbers } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { withProgress } from "./progress.ts";
import { formatTable, printJson, printLine, printNote, type Terminal } from "./terminal.ts";
import { holdsExamples, readTextFlag, writeTextFile } from "./text-file.ts";
import { openFolder } from "./train-data.ts";
import { addTrainFlags, checkTrainFlags, type TrainFlags } from "./train-flags.ts";
import { runTraining, type TrainingMethod } from "./training-run.ts";

interface ProSparseFlags extends TrainFlags {
  readonly peak: number;
  readonly fixed?: boolean;
  readonly stageEnds?: readonly number[];
  readonly stagePeaks?: readonly number[];
  readonly thresholds: readonly number[];
  readonly allowance: number;
  readonly searchCharacters: number;
}

const EXAMPLES = `
Examples:
  $ skim train prosparse --model tales --data books.txt --valid held-out.txt --steps 800 --learning-rate 1e-3 --out tales-relu
  $ skim train prosparse --model tales --data books.txt --valid held-out.txt --peak 0 --out control-relu
  $ skim train prosparse --model tales --data books.txt --valid held-out.txt --peak 0.5 --fixed --out control-l1

The controls are plain ReLU at equal tokens, and the same penalty from the first update to the last.
The penalty is the factor times the sum over layers of the mean of |act(gate) * up| over tokens and neurons. It rises in
the proportions of the paper's 7B run to --peak; --stage-ends and --stage-peaks set stages by hand. Afterwards every
threshold is tried on --valid, and the largest that costs at most --allowance of the perplexity is written to config.json
(hidden_act fatrelu). The folder holds sparsity.json with what each threshold gives. --valid decides nothing else: the last
model is kept, so --evaluate-every, --valid-tokens and --patience are refused.`;

/** Written beside the model. */
const REPORT = "sparsity.json";

export function addProSparseCommand(train: Command, terminal: Terminal): void {
  const command = train
    .command("prosparse")
    .description("make feed-forward neurons sparse: ReLU, rising L1 penalty, threshold (ProSparse)")
    .addHelpText("after", EXAMPLES);
  addTrainFlags(command, { valid: "held-out text that chooses the threshold after training" })
    .option("--peak <x>", "largest factor of the L1 penalty", realNumber(0, 1e6), 1)
    .option("--fixed", "the factor --peak from the first update on (control)")
    .option("--stage-ends <list>", "last update of each stage, the first without penalty", wholeNumbers(0))
    .option("--stage-peaks <list>", "factor at the end of each stage but the first", realNumbers(0, 1e6))
    .option(
      "--thresholds <list>",
      "thresholds to try after training",
      realNumbers(0, 1e6),
      [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1],
    )
    .option("--allowance <share>", "perplexity that a threshold may cost", realNumber(0, 1), 0.01)
    .option("--search-characters <n>", "how much of --valid the search uses", wholeNumber(1000), 30_000)
    .action((flags: ProSparseFlags) => {
      checkTrainFlags(command, flags);
      checkValidationFlags(command);
      return trainSparse(terminal, flags);
    });
}

/**
 * Throws UsageError for flags about validating while training,
 * which would stop at the loss that the penalty costs.
 */
function checkValidationFlags(command: Command): void {
  const ofValidation = ["evaluateEvery", "validTokens", "patience"];
  if (ofValidation.some((name) => command.getOptionValueSource(name) === "cli")) {
    throw new UsageError(
      "train prosparse: --evaluate-every, --valid-tokens and --patience say nothing, --valid only chooses the threshold - leave them out",
    );
  }
}

async function trainSparse(terminal: Terminal, flags: ProSparseFlags): Promise<void> {
  const { model, valid } = flags;
  if (model === undefined || valid === undefined || holdsExamples(valid)) {
    throw new UsageError(
      "train prosparse: expected --model, a model to make sparse, and --valid, a held-out text and no .jsonl",
    );
  }
  const stages = readStages(flags);
  const method: TrainingMethod = {
    config: { hidden_act: "relu" },
    differentiate: { l1: true },
    l1: (program) => {
      const width = neuronsPerLayer(program);
      return (step) => (flags.fixed === true ? flags.peak : l1Factor(step, stages)) / width;
    },
    run: `, l1 ${flags.fixed === true ? `fixed ${flags.peak}` : JSON.stringify(stages)}`,
    keepLast: true,
  };
  await runTraining(terminal, { ...flags, json: false }, method);
  await searchThreshold(terminal, flags, valid, stages);
}

function readStages({ steps, peak, stageEnds, stagePeaks }: ProSparseFlags): L1Stages {
  if ((stageEnds === undefined) !== (stagePeaks === undefined)) {
    throw new UsageError("train prosparse: --stage-ends and --stage-peaks describe stages together");
  }
  const stages =
    stageEnds !== undefined && stagePeaks !== undefined
      ? { ends: stageEnds, peaks: stagePeaks }
      : paperStages(steps, peak);
  checkStages(stages);
  return stages;
}

/** Width of x1. */
function neuronsPerLayer({ ops }: TrainingProgram): number {
  const unit = ops.find((op) => op.kind === "glu");
  if (unit?.kind !== "glu") throw new UsageError("train prosparse: the model has no gated feed-forward");
  return unit.out.width;
}

async function searchThreshold(
  terminal: Terminal,
  flags: ProSparseFlags,
  valid: string,
  stages: L1Stages,
): Promise<void> {
  const text = (await readTextFlag(valid, "--valid")).slice(0, flags.searchCharacters);
  const trials = await withInterrupt((signal) =>
    withProgress(terminal, "trying thresholds", "thresholds", async (onProgress) => {
      const done: ThresholdTrial[] = [];
      for (const threshold of flags.thresholds) {
        done.push(await tryThreshold(flags, text, threshold, signal));
        onProgress(done.length, flags.thresholds.length);
      }
      return done;
    }),
  ).catch(async (error: unknown) => {
    // Not even after Ctrl-C may the model keep a threshold that nobody has chosen.
    await writeThreshold(flags.out, 0);
    throw error;
  });
  const chosen = chooseThreshold(trials, flags.allowance);
  await writeThreshold(flags.out, chosen.threshold);
  const { peak, fixed } = flags;
  const report = {
    normalizer: "mean of |x1| over tokens and neurons, summed over layers",
    ...(fixed === true ? { fixedFactor: peak } : { stages }),
    chosen: chosen.threshold,
    trials,
  };
  await writeTextFile(path.join(flags.out, REPORT), `${JSON.stringify(report, undefined, 2)}\n`);
  if (flags.json === true) printJson(terminal, { out: flags.out, ...report });
  else {
    const rows = trials.map(({ threshold, perplexity, sparsity }) => [
      `${threshold}${threshold === chosen.threshold ? " (kept)" : ""}`,
      perplexity.toFixed(3),
      `${(100 * sparsity).toFixed(2)} %`,
    ]);
    printLine(terminal, formatTable(["threshold", "perplexity", "zeros in x1"], rows));
    printNote(terminal, `wrote ${flags.out}: threshold ${chosen.threshold}`);
  }
}

/** Perplexity and sparsity of the trained model with a threshold, which its config.json has afterwards. */
async function tryThreshold(
  flags: ProSparseFlags,
  text: string,
  threshold: number,
  signal: AbortSignal,
): Promise<ThresholdTrial> {
  const platform = nodePlatform();
  const threads = flags.threads ?? platform.coreCount;
  await writeThreshold(flags.out, threshold);
  await using model = await loadModelOn(platform, flags.out, { engine: { threads } });
  const context = Math.min(SEGMENT_TOKENS, model.contextLength);
  const { perplexity } = await measurePerplexity(model, text, { protocol: "hf", context, signal });
  return await withFile(await openModelFile(platform, flags.out), async (file) => {
    const { program } = await loadTrainableProgram(file);
    const cut = { segmentTokens: context, maxSegments: Number.POSITIVE_INFINITY };
    const segments = await readSegments(file, text, cut);
    const { sparsity, layers } = await measureSparsity(platform, file, program, {
      segments,
      of: "x1",
      threads,
      signal,
    });
    return { threshold, perplexity, sparsity, layers };
  });
}

/** Sets the activation in config.json, in one rename. */
async function writeThreshold(folder: string, threshold: number): Promise<void> {
  await withFile(await openFolder(nodePlatform(), folder), async (file) => {
    const { hidden_act_param: _, ...config } = file.config;
    const changed =
      threshold === 0
        ? { ...config, hidden_act: "relu" }
        : { ...config, hidden_act: "fatrelu", hidden_act_param: threshold };
    const skim = file.recipes === undefined ? {} : { skim: file.recipes };
    const text = `${JSON.stringify({ ...changed, ...skim }, undefined, 2)}\n`;
    await writeTextFile(path.join(folder, "config.json"), text);
  });
}
