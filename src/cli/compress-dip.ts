/** `skim compress dip`: a checkpoint that says how many feed-forward columns a generated token reads. */
import { type Command, Option } from "commander";
import { openModelFile } from "../formats/open-model-file.ts";
import { keptForDensity } from "../methods/dynamic-input-pruning/densities.ts";
import {
  type ColumnRecipe,
  dipRecipe,
  freeRecipe,
  neuronRecipe,
} from "../methods/dynamic-input-pruning/recipe.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { countCost } from "../program/accounting.ts";
import type { Program } from "../program/program.ts";
import { realNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeWithRecipe } from "./recipe-folder.ts";
import { formatSize, printJson, printNote, type Terminal } from "./terminal.ts";

const METHODS = ["dip", "glu", "gate", "up"] as const;

interface DipFlags {
  readonly method?: (typeof METHODS)[number];
  readonly model: string;
  readonly density?: number;
  readonly inputDensity?: number;
  readonly gluDensity?: number;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim compress dip --model llama.gguf --density 0.5 --out llama-dip50
  $ skim compress dip --model llama.gguf --input-density 0.6 --glu-density 0.3 --out llama-dip
  $ skim compress dip --model llama.gguf --method gate --density 0.5 --out llama-gate

Methods, by what chooses and what is skipped:
  dip    inputs of gate and up by magnitude, inputs of down by magnitude (the default; any density)
  glu    inputs of down alone; gate and up stay dense (density from 2/3)
  gate   neurons by |activation(gate)|: rows of up, columns of down; gate stays dense (density from 1/3)
  up     neurons by |up|: rows of gate, columns of down; up stays dense (density from 1/3)

No training and no data are needed. --density is the share of all feed-forward weights that a generated token reads;
it is shared out between the inputs of gate and up and the input of down as the paper does. Prompts are read densely.
Nothing is removed from the weights: the folder holds all of them and config.json how many columns to read. Block
formats of GGUF become F16 there; to keep a GGUF file as it is, give --density to run, eval or bench instead.`;

export function addDipCommand(group: Command, terminal: Terminal): void {
  group
    .command("dip")
    .description("read only the feed-forward columns that matter to a token (Dynamic Input Pruning)")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .addOption(
      new Option("--method <name>", "which columns or neurons are skipped (default: dip)").choices([
        ...METHODS,
      ]),
    )
    .option("--density <share>", "share of the feed-forward weights to read", realNumber(0, 1))
    .option("--input-density <share>", "kept columns of gate and up, instead of --density", realNumber(0, 1))
    .option("--glu-density <share>", "kept columns of down, instead of --density", realNumber(0, 1))
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: DipFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: DipFlags): Promise<void> {
  const recipe = readRecipe(flags);
  const platform = nodePlatform();
  await withInterrupt(async (signal) => {
    const file = await openModelFile(platform, flags.model);
    try {
      const { program } = await loadRecipeProgram(file);
      const rewritten = rewriteColumns(program, recipe);
      await writeWithRecipe(terminal, file, recipe, flags.out, signal);
      const density = feedForwardWeights(rewritten) / feedForwardWeights(program);
      const summary = { out: flags.out, recipe, density, sourceBytes: file.tensorBytes };
      if (flags.json === true) printJson(terminal, summary);
      else {
        printNote(
          terminal,
          `wrote ${flags.out}: a generated token reads ${(100 * density).toFixed(2)} % of the feed-forward weights (${formatSize(summary.sourceBytes)} of tensors, all kept)`,
        );
      }
    } finally {
      await file.close();
    }
  });
}

function readRecipe({ method = "dip", density, inputDensity, gluDensity }: DipFlags): ColumnRecipe {
  const free = inputDensity !== undefined || gluDensity !== undefined;
  if ((density !== undefined) === free) {
    throw new UsageError(
      "compress dip: expected either --density or one or both of --input-density and --glu-density",
    );
  }
  if (density === undefined) {
    if (method === "dip") return freeRecipe(inputDensity, gluDensity);
    throw new UsageError(`compress dip: --method ${method} shares nothing out, expected --density alone`);
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

/** Weights of the feed-forward that one generated token reads, norms included. */
export function feedForwardWeights(program: Program): number {
  const weightBytes = (weight: { rows: number; columns: number }) => weight.rows * weight.columns;
  return countCost(program, { weightBytes, keyValueElementBytes: 0, attended: 1 }).reads.byKind.feedForward;
}
