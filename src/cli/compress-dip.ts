/** `skim compress dip`: a checkpoint that says how many feed-forward columns a generated token reads. */
import type { Command } from "commander";
import { openModelFile } from "../formats/open-model-file.ts";
import { rewriteColumns } from "../methods/dynamic-input-pruning/rewrite.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { LORA_FLAG_TEXT, mergeFolder } from "./compress-lora.ts";
import { addDensityFlags, type DensityFlags, readDensityFlags } from "./density-flags.ts";
import { feedForwardWeights } from "./feed-forward-weights.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeWithRecipes } from "./recipe-folder.ts";
import { formatSize, printJson, printNote, type Terminal } from "./terminal.ts";

interface DipFlags extends DensityFlags {
  readonly model: string;
  readonly lora?: string;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim compress dip --model llama.gguf --density 0.5 --out llama-dip50
  $ skim compress dip --model llama.gguf --input-density 0.6 --glu-density 0.3 --out llama-dip
  $ skim compress dip --model llama.gguf --method gate --density 0.5 --out llama-gate
  $ skim compress dip --model ./SmolLM-135M --lora adapters --density 0.5 --out smollm-dip50

Methods, by what chooses and what is skipped:
  dip    inputs of gate and up by magnitude, inputs of down by magnitude (the default; any density)
  glu    inputs of down alone; gate and up stay dense (density from 2/3)
  gate   neurons by |activation(gate)|: rows of up, columns of down; gate stays dense (density from 1/3)
  up     neurons by |up|: rows of gate, columns of down; up stays dense (density from 1/3)

No training and no data are needed; skim train dip-repair makes adapters (--lora) that win back quality. --density
is the share of all feed-forward weights that a generated token reads; it is shared out between the inputs of gate
and up and the input of down as the paper does. Prompts are read densely. Nothing is removed from the weights: the
folder holds all of them and config.json how many columns to read. Block formats of GGUF become F16 there; to keep
a GGUF file as it is, give --density to run, eval or bench instead.`;

export function addDipCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command("dip")
    .description("read only the feed-forward columns that matter to a token (Dynamic Input Pruning)")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT);
  addDensityFlags(command)
    .option("--lora <folder>", LORA_FLAG_TEXT)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: DipFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: DipFlags): Promise<void> {
  const recipe = readDensityFlags("compress dip", flags);
  const platform = nodePlatform();
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(platform, flags.model), async (opened) => {
      const file = flags.lora === undefined ? opened : (await mergeFolder(opened, flags.lora)).file;
      const { program } = await loadRecipeProgram(file);
      const rewritten = rewriteColumns(program, recipe);
      await writeWithRecipes(terminal, file, [recipe], flags.out, signal);
      const density = feedForwardWeights(rewritten) / feedForwardWeights(rewritten, "prompt");
      const summary = { out: flags.out, recipe, density, sourceBytes: file.tensorBytes };
      if (flags.json === true) printJson(terminal, summary);
      else {
        printNote(
          terminal,
          `wrote ${flags.out}: a generated token reads ${(100 * density).toFixed(2)} % of the feed-forward weights (${formatSize(summary.sourceBytes)} of tensors, all kept)`,
        );
      }
    }),
  );
}
