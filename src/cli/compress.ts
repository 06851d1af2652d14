/**
 * `skim compress`: makes a smaller checkpoint of a model. One subcommand per method, and recipes of several.
 */
import type { Command } from "commander";
import { addColumnsCommand } from "./compress-columns.ts";
import { addDipCommand } from "./compress-dip.ts";
import { addDropCommand } from "./compress-drop.ts";
import { addInputGroupsCommand } from "./compress-input-groups.ts";
import { addLoraCommand } from "./compress-lora.ts";
import { addProSparseCompressCommand } from "./compress-prosparse.ts";
import { compressByRecipe, type RecipeFlags, type RunCommand } from "./compress-recipe.ts";
import { addTenderCommand } from "./compress-tender.ts";
import { addThresholdCommands } from "./compress-thresholds.ts";
import { UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

const EXAMPLES = `
Examples:
  $ skim compress dip --model llama.gguf --density 0.5 --out llama-dip50
  $ skim compress --recipe recipe.json --model ./SmolLM-135M --out smollm-small

recipe.json (docs/recipe.schema.json lists all steps and fields):
  {
    "version": 1,
    "evaluate": { "text": "held-out.txt" },
    "steps": [
      { "step": "tune", "data": "domain.txt", "steps": 200, "learningRate": 1e-4 },
      { "step": "dip", "density": 0.5 },
      { "step": "tender", "text": "calibration.txt", "bits": 8 }
    ]
  }

Every step is a command of skim, its fields are that command's flags, its paths are relative to the recipe. After each
step the model is measured. A run that was stopped or killed continues when the same command is given again; a recipe that
was edited is done again from the first step that changed.`;

/** `run` executes a skim command given as arguments; recipes are made of such commands. */
export function addCompressCommand(program: Command, terminal: Terminal, run: RunCommand): void {
  const group = program
    .command("compress")
    .description("make a smaller checkpoint of a model")
    .addHelpText("after", EXAMPLES)
    .enablePositionalOptions()
    .option("--recipe <file>", "do the steps of a recipe, with --model and --out")
    .option("-m, --model <path>", "model that the recipe starts from")
    .option("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object at the end")
    .action((flags: Partial<RecipeFlags>) => compressByRecipe(terminal, checkFlags(flags), run));
  addDipCommand(group, terminal);
  addThresholdCommands(group, terminal);
  addLoraCommand(group, terminal);
  addTenderCommand(group, terminal);
  addProSparseCompressCommand(group, terminal);
  addInputGroupsCommand(group, terminal);
  addColumnsCommand(group, terminal);
  addDropCommand(group, terminal);
}

function checkFlags({ recipe, model, out, json }: Partial<RecipeFlags>): RecipeFlags {
  if (recipe === undefined || model === undefined || out === undefined) {
    throw new UsageError(
      "compress: expected a method, or --recipe with --model and --out - skim compress --help shows both",
    );
  }
  return { recipe, model, out, ...(json === true && { json }) };
}
