/**
 * `skim train dip-repair`: low-rank adapters on the feed-forward matrices, trained while every token reads
 * only the columns that Dynamic Input Pruning leaves it (arXiv 2412.01380; initialisation, factor and loss of
 * the released code). The teacher is the same model reading everything.
 */
import { type Command, Option } from "commander";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { addDensityFlags, type DensityFlags, readDensityFlags } from "./density-flags.ts";
import { UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";
import { addTrainFlags, checkTrainFlags, type TrainFlags } from "./train-flags.ts";
import { runTraining } from "./training-run.ts";

/** Learn from the dense model's predictions (distillation), or from the text (cross entropy). */
export const REPAIR_LOSSES = ["kd", "ce"] as const;
type RepairLoss = (typeof REPAIR_LOSSES)[number];

interface DipRepairFlags extends TrainFlags, DensityFlags {
  readonly loss: RepairLoss;
}

const EXAMPLES = `
Examples:
  $ skim train dip-repair --model tales --data books.txt --valid held-out.txt --density 0.5 --steps 400 --out tales-dip50
  $ skim train dip-repair --model tales --data books.txt --density 0.3 --loss ce --lora-rank 8 --out tales-dip30
  $ skim train dip-repair --model tales --data books.txt --density 0.5 --lora-keep --out adapters
  $ skim compress dip --model tales --lora adapters --density 0.5 --out tales-dip50

The weights stay as they are; adapters of --lora-rank (default: 32) beside gate, up and down learn to make up for the columns
that are skipped, in all positions of the training text. With --loss kd they learn from the predictions of the same model
reading everything (or of --teacher), with ce from the text. --out gets the model with the adapters merged and the choice of
columns in config.json, or with --lora-keep the adapters alone.`;

/** Rank where none is given. */
const RANK = 32;

const HELP = {
  loraRank: `rank of the adapters, which are merged when saved (default: ${RANK})`,
  loraAlpha: "the adapters count alpha / rank (default: the rank)",
  loraTargets: "linears that get one (default: gate,up,down)",
  loraKeep: "write the adapters alone, as a folder of the PEFT library",
};

export function addDipRepairCommand(train: Command, terminal: Terminal): void {
  const command = train
    .command("dip-repair")
    .description("adapters that make up for columns that Dynamic Input Pruning skips")
    .addHelpText("after", EXAMPLES);
  addDensityFlags(addTrainFlags(command, HELP))
    .addOption(
      new Option("--loss <name>", "learn from the dense model's predictions (kd) or from the text (ce)")
        .choices(REPAIR_LOSSES)
        .default("kd"),
    )
    .action((flags: DipRepairFlags) => repair(command, terminal, flags));
}

function repair(command: Command, terminal: Terminal, flags: DipRepairFlags): Promise<void> {
  const { model } = flags;
  if (model === undefined) {
    throw new UsageError("train dip-repair: expected --model, the model whose columns are skipped");
  }
  if (flags.loss === "ce" && flags.teacher !== undefined) {
    throw new UsageError("train dip-repair: --loss ce learns from the text alone - leave out --teacher");
  }
  const rank = flags.loraRank ?? RANK;
  const complete = {
    ...flags,
    ...(flags.loss === "kd" && { teacher: flags.teacher ?? model }),
    loraRank: rank,
    loraAlpha: flags.loraAlpha ?? rank,
    loraTargets: flags.loraTargets ?? (["feedForward.gate", "feedForward.up", "feedForward.down"] as const),
  };
  checkTrainFlags(command, complete);
  const recipe = readDensityFlags("train dip-repair", flags);
  return runTraining(terminal, complete, {
    rewrite: (program) => rewriteColumns(program, recipe),
    recipe,
    precedes: ["prosparse", "tender", "inputGroups"],
    adapterDeviation: 1 / rank,
    run: `, columns ${JSON.stringify(recipe)}`,
  });
}
