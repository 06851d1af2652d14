/** The flags of `run` and `chat` that say how text is made. */
import { type Command, Option } from "commander";
import { type GenerationOptions, SPAN_WAYS } from "../session/options.ts";
import { collect, collectBias, realNumber, wholeNumber } from "./arguments.ts";

export interface GenerationFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: Record<number, number>;
  readonly seed?: number;
  readonly stop?: string[];
  readonly spans?: GenerationOptions["spans"];
  readonly statements?: boolean;
}

export function addGenerationFlags(command: Command): Command {
  return command
    .option("-n, --max-tokens <n>", "most tokens to generate (default: 512)", wholeNumber(1))
    .option("--temperature <t>", "0 is greedy (default: 0.8)", realNumber(0, 100))
    .option("--top-k <k>", "keep the k most probable tokens, 0 for all (default: 40)", wholeNumber(0))
    .option("--top-p <p>", "keep the most probable tokens that reach p (default: 0.95)", realNumber(1e-9, 1))
    .option(
      "--min-p <p>",
      "keep tokens at least p times as probable as the best (default: 0.05)",
      realNumber(0, 1),
    )
    .option(
      "--repetition-penalty <x>",
      "scales down tokens seen before (default: 1, off)",
      realNumber(1e-9, 100),
    )
    .option("--presence-penalty <x>", "subtracted from tokens generated before", realNumber(-100, 100))
    .option("--frequency-penalty <x>", "subtracted once per earlier generation", realNumber(-100, 100))
    .option("--logit-bias <id:value>", "added to a token's logit; may be repeated", collectBias)
    .option("--seed <n>", "same seed, same text (default: a fresh one)", wholeNumber(0, 0xffffffff))
    .option("--stop <text>", "ends the generation; may be repeated", collect)
    .addOption(
      new Option(
        "--spans <way>",
        "models that state attention spans: follow them, or ignore them and read everything (default: follow)",
      ).choices(SPAN_WAYS),
    )
    .option("--statements", "show the statements of such models in the text");
}

/** Flags as options of the session; what was not given stays open for the model's own defaults. */
export function generationOptions(flags: GenerationFlags, signal: AbortSignal): GenerationOptions {
  return {
    maxTokens: flags.maxTokens,
    temperature: flags.temperature,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repetitionPenalty,
    presencePenalty: flags.presencePenalty,
    frequencyPenalty: flags.frequencyPenalty,
    logitBias: flags.logitBias,
    seed: flags.seed,
    stop: flags.stop,
    spans: flags.spans,
    statements: flags.statements,
    signal,
  };
}
