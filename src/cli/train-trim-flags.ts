/** The flags of `skim train trim`, and the settings that follow from them. */
import { type Command, Option } from "commander";
import { UNIT_KINDS, type UnitKind } from "../methods/trimllm/scan.ts";
import { TIE_BREAKERS, type TieBreaker } from "../methods/trimllm/selection.ts";
import { SELECTIONS, type SelectionName, type TrimSettings } from "../methods/trimllm/trim-world.ts";
import { byteSize, realNumber, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { addLoopFlags, type LoopFlags, loopSettings } from "./train-loop-flags.ts";

export interface TrimFlags extends LoopFlags {
  readonly model: string;
  readonly data: string;
  readonly test?: string;
  readonly out: string;
  readonly resume?: boolean;
  readonly unit: UnitKind;
  readonly select: SelectionName;
  readonly tieBreaker: TieBreaker;
  readonly tolerance: number;
  readonly trainedShare: number;
  readonly freezeTables?: boolean;
  readonly adapters?: number;
  readonly adapterAlpha?: number;
  readonly leastAccuracy?: number;
  readonly mostPerplexity?: number;
  readonly mostBytes?: number;
  readonly mostUnits?: number;
  readonly unitsPerRound: number;
  readonly calibration: number;
  readonly validation: number;
  readonly threads?: number;
  readonly json?: boolean;
}

const LOOP_HELP = {
  context: "most tokens of an example",
  batch: "sequences of that length per micro-batch",
  steps: "updates per size",
  learningRate: "peak of the one schedule over all sizes",
  weights: "storage of the saved models",
  seed: "seed of splits and order of data",
};
const LOOP_DEFAULTS = { steps: 200, learningRate: 2e-4, weightDecay: 0.01, weights: "f16" } as const;

export function addTrimFlags(command: Command): Command {
  return addLoopFlags(addChoiceFlags(command), LOOP_HELP, LOOP_DEFAULTS)
    .option(...THREADS_FLAG)
    .option("--json", "print one JSON object at the end");
}

function addChoiceFlags(command: Command): Command {
  return command
    .requiredOption("-m, --model <folder>", "Hugging Face folder to start from")
    .requiredOption("--data <file>", "text, or .jsonl with prompt and options or answer")
    .option("--test <file>", "the same, looked at once after all is chosen")
    .requiredOption("--out <folder>", "folder for the sizes, trim.json and report.html")
    .option("--resume", "continue the run in --out where it was")
    .addOption(new Option("--unit <name>", "what goes as one").choices(UNIT_KINDS).default("sublayer"))
    .addOption(
      new Option(
        "--select <name>",
        "what decides which unit goes: TrimLLM's accuracy, or another for comparison",
      )
        .choices([...SELECTIONS])
        .default("accuracy"),
    )
    .addOption(
      new Option("--tie-breaker <name>", "among equals: largest output norm, or lowest layer")
        .choices(TIE_BREAKERS)
        .default("activation"),
    )
    .option("--tolerance <x>", "how much less quality still counts as equal", realNumber(0, 1), 0)
    .option(
      "--trained-share <r>",
      "share of the blocks that is trained, the most sensitive ones",
      realNumber(0, 1),
      1,
    )
    .option("--freeze-tables", "do not train embedding, final norm and head")
    .option(
      "--adapters <rank>",
      "train low-rank adapters (LoRA) instead of weights; implies --freeze-tables",
      wholeNumber(1, 1024),
    )
    .option(
      "--adapter-alpha <x>",
      "with --adapters: their product counts alpha / rank (default: 2 rank)",
      realNumber(0, 1e4),
    )
    .option("--least-accuracy <share>", "end when validation accuracy is below", realNumber(0, 1))
    .option("--most-perplexity <x>", "end when validation perplexity is above", realNumber(1, 1e9))
    .option("--most-bytes <size>", "end when all tensors together are this small", byteSize)
    .option("--most-units <n>", "end when this many units are gone", wholeNumber(1))
    .option("--units-per-round <n>", "units that go at once between two tunings", wholeNumber(1), 1)
    .option("--calibration <n>", "examples that decide which unit goes", wholeNumber(1), 200)
    .option("--validation <n>", "examples that decide the size", wholeNumber(1), 200);
}

/** Settings for a model of `units` units; one unit is always left. */
export function trimSettings(flags: TrimFlags, units: number): TrimSettings {
  const mostUnits = Math.min(flags.mostUnits ?? units - 1, units - 1);
  const rounds = Math.ceil(mostUnits / flags.unitsPerRound) + 1;
  return {
    unit: flags.unit,
    select: flags.select,
    tieBreaker: flags.tieBreaker,
    tolerance: flags.tolerance,
    trainedShare: flags.trainedShare,
    trainTables: flags.freezeTables !== true && flags.adapters === undefined,
    adapters:
      flags.adapters === undefined
        ? undefined
        : { rank: flags.adapters, alpha: flags.adapterAlpha ?? 2 * flags.adapters },
    leastAccuracy: flags.leastAccuracy,
    mostPerplexity: flags.mostPerplexity,
    mostBytes: flags.mostBytes,
    stepsPerRound: flags.steps,
    unitsPerRound: flags.unitsPerRound,
    mostUnits,
    seed: flags.seed,
    trainer: {
      ...loopSettings(flags),
      steps: rounds * flags.steps,
      evaluateEvery: flags.steps,
      checkpointEvery: flags.checkpointEvery,
      patience: undefined,
    },
  };
}
