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

const PRUNING_METHODS = ["dip", "glu", "gate", "up"] as const;
type PruningMethod = (typeof PRUNING_METHODS)[number];

export interface DensityFlags {
  readonly method?: PruningMethod;
  readonly density?: number;
  readonly inputDensity?: number;
  readonly gluDensity?: number;
}

/** Adds them all to a command that writes a recipe. */
export function addDensityFlags(command: Command): Command {
  return addShareFlags(
    command.addOption(
      new Option("--method <name>", "which columns or neurons are skipped (default: dip)").choices(
        PRUNING_METHODS,
      ),
    ),
    "share of the feed-forward weights to read",
  );
}

/** Adds the shares alone; `text` is the help of --density. */
export function addShareFlags(command: Command, text: string): Command {
  return command
    .option("--density <share>", text, realNumber(0, 1))
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
