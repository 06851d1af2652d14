/** The flags of `skim train`, and what follows from them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  ADAPTER_TARGETS,
  type AdapterOptions,
  type AdapterTarget,
} from "../methods/low-rank-adapters/rewrite.ts";
import { RECOMPUTE, type Recompute } from "../program/recomputation.ts";
import type { FreshShape } from "../training/fresh-model.ts";
import type { TrainerSettings } from "../training/trainer.ts";
import { realNumber, THREADS_FLAG, wholeNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { addLoopFlags, type LoopFlags, loopSettings } from "./train-loop-flags.ts";

export interface TrainFlags extends LoopFlags {
  readonly data: string;
  readonly valid?: string;
  readonly out: string;
  readonly resume?: boolean;
  readonly spans?: "masked" | "full";
  readonly model?: string;
  readonly tokenizer?: string;
  readonly vocabulary: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads?: number;
  readonly feedForward?: number;
  readonly untiedHead?: boolean;
  readonly activation: string;
  readonly evaluateEvery: number;
  readonly validTokens: number;
  readonly patience?: number;
  readonly teacher?: string;
  readonly teacherWeight: number;
  readonly temperature: number;
  readonly loraRank?: number;
  readonly loraAlpha?: number;
  readonly loraTargets?: readonly AdapterTarget[];
  readonly loraKeep?: boolean;
  readonly recompute: Recompute;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Flags that describe a new model; they make no sense for one that exists. */
const SHAPE_FLAGS = [
  "tokenizer",
  "vocabulary",
  "layers",
  "width",
  "heads",
  "kvHeads",
  "feedForward",
  "untiedHead",
  "activation",
] as const;

/**
 * Adapter targets by what they are called in short;
 * the last part of their Hugging Face names is understood too.
 */
const SHORT_TARGETS: Readonly<Record<string, AdapterTarget>> = {
  q: "attention.query",
  k: "attention.key",
  v: "attention.value",
  o: "attention.output",
  gate: "feedForward.gate",
  up: "feedForward.up",
  down: "feedForward.down",
};

/** Comma-separated targets, by short or full names. */
function adapterTargets(text: string): AdapterTarget[] {
  return text.split(",").map((part) => {
    const name = part.trim();
    const short = name.replace(/_proj$/, "");
    const target =
      ADAPTER_TARGETS.find((known) => known === name) ??
      (Object.hasOwn(SHORT_TARGETS, short) ? SHORT_TARGETS[short] : undefined);
    if (target !== undefined) return target;
    throw new InvalidArgumentError(`Expected names out of ${Object.keys(SHORT_TARGETS).join(", ")}.`);
  });
}

/** Help of flags that mean something else, or have another default, under some methods. */
const HELP = {
  valid: "the same, held out: the model with the lowest loss on it is kept",
  loraRank: "train adapters of this rank beside the weights (LoRA); they are merged when saved",
  loraAlpha: "with --lora-rank: the adapters count alpha / rank (default: 2 rank)",
  loraTargets: `with --lora-rank: linears that get one (default: ${Object.keys(SHORT_TARGETS).join(",")})`,
  loraKeep: "with --lora-rank: write the adapters alone, as a folder of the PEFT library",
};

const LOOP_HELP = {
  context: "tokens per sequence",
  batch: "sequences per micro-batch",
  steps: "updates",
  learningRate: "peak of the schedule",
  weights: "storage of the saved model",
  seed: "seed of weights and order of data",
};
const LOOP_DEFAULTS = { steps: 1000, learningRate: 1e-3, weightDecay: 0.1, weights: "f32" } as const;

/** Adds the flags of `skim train`, with the method's own words where `help` has them. */
export function addTrainFlags(command: Command, help: Partial<typeof HELP> = {}): Command {
  const texts = { ...HELP, ...help };
  return addLoopFlags(addShapeFlags(addDataFlags(command, texts.valid)), LOOP_HELP, LOOP_DEFAULTS)
    .option("--evaluate-every <n>", "updates between validations", wholeNumber(1), 100)
    .option("--valid-tokens <n>", "most tokens of a validation text to score", wholeNumber(1), 100_000)
    .option("--patience <n>", "validations without improvement before stopping", wholeNumber(1))
    .option("--teacher <model>", "learn from this model's predictions (distillation); same vocabulary")
    .option("--teacher-weight <w>", "with --teacher: its share of the loss", realNumber(1e-6, 1), 1)
    .option("--temperature <t>", "with --teacher: divides the logits of both", realNumber(0.01, 100), 1)
    .option("--lora-rank <r>", texts.loraRank, wholeNumber(1, 1024))
    .option("--lora-alpha <x>", texts.loraAlpha, realNumber(0, 1e4))
    .option("--lora-targets <name,...>", texts.loraTargets, adapterTargets)
    .option("--lora-keep", texts.loraKeep)
    .addOption(
      new Option("--recompute <what>", "recompute activations to save memory")
        .choices(RECOMPUTE)
        .default("none"),
    )
    .option(...THREADS_FLAG)
    .option("--json", "print one JSON object at the end");
}

function addDataFlags(command: Command, valid: string): Command {
  return command
    .option("--data <file>", "text, or .jsonl with prompt and answer")
    .option("--valid <file>", valid)
    .option("--out <folder>", "Hugging Face folder to write")
    .option("--resume", "continue the run in --out from its last checkpoint")
    .option("-m, --model <folder>", "model to train further, instead of a new one")
    .addOption(
      new Option(
        "--spans <attention>",
        "answers state attention spans: learn under the masks they imply, or under full attention",
      ).choices(["masked", "full"]),
    );
}

function addShapeFlags(command: Command): Command {
  return command
    .option("--tokenizer <folder>", "folder with tokenizer.json for a new model, instead of training one")
    .option(
      "--vocabulary <n>",
      "tokens of a new tokenizer, trained on --data",
      wholeNumber(257, 1 << 20),
      4096,
    )
    .option("--layers <n>", "layers of a new model", wholeNumber(1, 512), 8)
    .option("--width <n>", "its model width", wholeNumber(2, 65536), 256)
    .option("--heads <n>", "its attention heads", wholeNumber(1, 1024), 8)
    .option("--kv-heads <n>", "its key/value heads (default: as many)", wholeNumber(1, 1024))
    .option("--feed-forward <n>", "its feed-forward width (default: 8/3 width)", wholeNumber(1, 1 << 20))
    .option("--untied-head", "a head of its own instead of the embedding table")
    .addOption(
      new Option("--activation <name>", "its activation").choices(["silu", "gelu", "relu"]).default("silu"),
    );
}

/**
 * Throws UsageError without --data or --out (subcommands have their own), and for shape flags beside a model.
 */
export function checkTrainFlags(command: Command, flags: Partial<TrainFlags>): asserts flags is TrainFlags {
  for (const name of ["data", "out"] as const) {
    if (flags[name] === undefined)
      throw new UsageError(`train: expected --${name} - skim train --help shows all flags`);
  }
  if (
    flags.loraRank === undefined &&
    (flags.loraAlpha ?? flags.loraTargets ?? flags.loraKeep) !== undefined
  ) {
    throw new UsageError(
      "train: --lora-alpha, --lora-targets and --lora-keep say nothing without --lora-rank",
    );
  }
  if (flags.loraKeep === true && flags.model === undefined) {
    throw new UsageError(
      "train: --lora-keep writes adapters alone, expected the model they belong to - add --model",
    );
  }
  if (flags.loraRank !== undefined && flags.model === undefined && flags.resume !== true) {
    throw new UsageError("train: --lora-rank tunes a model - add --model");
  }
  const ofTeacher = ["teacherWeight", "temperature"] as const;
  if (flags.teacher === undefined && ofTeacher.some((name) => command.getOptionValueSource(name) === "cli")) {
    throw new UsageError("train: --teacher-weight and --temperature say nothing without --teacher");
  }
  if (flags.model === undefined && flags.resume !== true) return;
  const given = SHAPE_FLAGS.find((name) => command.getOptionValueSource(name) === "cli");
  if (given !== undefined && flags.resume !== true) {
    throw new UsageError(
      `train: --model brings its own shape and tokenizer - leave out the flag for ${given}`,
    );
  }
}

/** Adapters that are asked for; undefined where the weights themselves are trained. */
export function adapterOptions({ loraRank, loraAlpha, loraTargets }: TrainFlags): AdapterOptions | undefined {
  if (loraRank === undefined) return undefined;
  return { rank: loraRank, alpha: loraAlpha ?? 2 * loraRank, targets: loraTargets ?? ADAPTER_TARGETS };
}

export function trainerSettings(flags: TrainFlags): TrainerSettings {
  return {
    ...loopSettings(flags),
    evaluateEvery: flags.evaluateEvery,
    checkpointEvery: flags.checkpointEvery,
    patience: flags.patience,
  };
}

/** The shape of a new model with the given vocabulary. */
export function freshShape(flags: TrainFlags, vocabularySize: number): FreshShape {
  return {
    layers: flags.layers,
    width: flags.width,
    heads: flags.heads,
    kvHeads: flags.kvHeads ?? flags.heads,
    feedForwardWidth: flags.feedForward ?? 16 * Math.ceil(((8 / 3) * flags.width) / 16),
    vocabularySize,
    contextLength: flags.context,
    tiedHead: flags.untiedHead !== true,
    activation: flags.activation,
  };
}
