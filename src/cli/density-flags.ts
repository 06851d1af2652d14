/** The flags that say how many feed-forward columns a token reads, and the recipe they make. */
import { type Command, Option } from "commander";
import { keptForDensity } from "../methods/dynamic-input-pruning/densities.ts";
import {
  type ColumnRecipe,
  dipRecipe,
  freeRecipe,
  neuronRecipe,
} from "../methods/dynamic-input-pruning/recipe.ts";
import { realNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";

export const PRUNING_METHODS = ["dip", "glu", "gate", "up"] as const;
export type PruningMethod = (typeof PRUNING_METHODS)[number];

export interface DensityFlags {
  readonly method?: PruningMethod;
  readonly density?: number;
  readonly inputDensity?: number;
  readonly gluDensity?: number;
}

/** Adds them, with those of the methods that the command can do. */
export function addDensityFlags(command: Command, methods: readonly PruningMethod[]): Command {
  return command
    .addOption(
      new Option("--method <name>", "which columns or neurons are skipped (default: dip)").choices([
        ...methods,
      ]),
    )
    .option("--density <share>", "share of the feed-forward weights to read", realNumber(0, 1))
    .option("--input-density <share>", "kept columns of gate and up, instead of --density", realNumber(0, 1))
    .option("--glu-density <share>", "kept columns of down, instead of --density", realNumber(0, 1));
}

/** UsageError where they contradict each other; `command` is for the message. */
export function readDensityFlags(
  command: string,
  { method = "dip", density, inputDensity, gluDensity }: DensityFlags,
): ColumnRecipe {
  const free = inputDensity !== undefined || gluDensity !== undefined;
  if ((density !== undefined) === free) {
    throw new UsageError(
      `${command}: expected either --density or one or both of --input-density and --glu-density`,
    );
  }
  if (density === undefined) {
    if (method === "dip") return freeRecipe(inputDensity, gluDensity);
    throw new UsageError(`${command}: --method ${method} shares nothing out, expected --density alone`);
  }
  switch (method) {
    case "dip":
      return dipRecipe(density);
    case "glu":
      return freeRecipe(undefined, keptForDensity("gluPruning", density));
    case "gate":
      return neuronRecipe("gate", keptForDensity("gatePruning", density));
    case "up":
      return neuronRecipe("up", keptForDensity("upPruning", density));
  }
}
