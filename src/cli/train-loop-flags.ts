/**
 * The flags of the training loop, which `skim train`, its methods and `skim train trim` share,
 * and their settings.
 */
import { type Command, Option } from "commander";
import { SAVED_FORMATS, type SavedFormat } from "../training/save-model.ts";
import type { TrainerSettings } from "../training/trainer.ts";
import { realNumber, wholeNumber } from "./arguments.ts";

export interface LoopFlags {
  readonly context: number;
  readonly batch: number;
  readonly accumulate: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly warmup?: number;
  readonly weightDecay: number;
  readonly clip: number;
  readonly checkpointEvery: number;
  readonly weights: SavedFormat;
  readonly seed: number;
}

/** Help of the flags that mean something else in each command. */
export type LoopHelp = Readonly<
  Record<"context" | "batch" | "steps" | "learningRate" | "weights" | "seed", string>
>;

export type LoopDefaults = Pick<LoopFlags, "steps" | "learningRate" | "weightDecay" | "weights">;

export function addLoopFlags(command: Command, help: LoopHelp, defaults: LoopDefaults): Command {
  return command
    .option("-c, --context <n>", help.context, wholeNumber(2, 1 << 20), 256)
    .option("--batch <n>", help.batch, wholeNumber(1, 4096), 8)
    .option("--accumulate <n>", "micro-batches per update", wholeNumber(1, 4096), 1)
    .option("--steps <n>", help.steps, wholeNumber(1), defaults.steps)
    .option("--learning-rate <x>", help.learningRate, realNumber(0, 10), defaults.learningRate)
    .option("--warmup <n>", "updates until the peak (default: 5 % of --steps)", wholeNumber(0))
    .option("--weight-decay <x>", "of matrices", realNumber(0, 10), defaults.weightDecay)
    .option("--clip <x>", "largest gradient norm", realNumber(1e-6, 1e6), 1)
    .option("--checkpoint-every <n>", "updates between checkpoints", wholeNumber(1), 100)
    .addOption(
      new Option("--weights <format>", help.weights).choices(SAVED_FORMATS).default(defaults.weights),
    )
    .option("--seed <n>", help.seed, wholeNumber(0, 0xffffffff), 0);
}

/** Schedule, AdamW and clipping; when to validate and to stop is each command's own. */
export function loopSettings(
  flags: LoopFlags,
): Omit<TrainerSettings, "evaluateEvery" | "checkpointEvery" | "patience"> {
  return {
    steps: flags.steps,
    warmup: flags.warmup ?? Math.ceil(0.05 * flags.steps),
    learningRate: flags.learningRate,
    finalShare: 0.1,
    accumulation: flags.accumulate,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: flags.weightDecay,
    clip: flags.clip,
  };
}
