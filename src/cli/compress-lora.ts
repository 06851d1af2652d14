/** `skim compress lora`: a checkpoint with low-rank adapters merged into its weights. */
import type { Command } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { openAdapterFolder, type StoredAdapter } from "../methods/low-rank-adapters/adapter-folder.ts";
import { withMergedAdapters } from "../methods/low-rank-adapters/merge.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeWithRecipes } from "./recipe-folder.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";

interface LoraFlags {
  readonly model: string;
  readonly lora: string;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim train --model ./SmolLM-135M --data questions.jsonl --lora-rank 8 --lora-keep --out adapters
  $ skim compress lora --model ./SmolLM-135M --lora adapters --out tuned

The adapters are a folder in the layout of the PEFT library, adapter_config.json and adapter_model.safetensors, from skim or
from elsewhere. W becomes W + factor B A in the format it has; the model runs as fast as before. Weights must be floats: merge
first, then quantize.`;

export const LORA_FLAG_TEXT =
  "folder of low-rank adapters (adapter_config.json, adapter_model.safetensors) to merge";

export function addLoraCommand(group: Command, terminal: Terminal): void {
  group
    .command("lora")
    .description("merge low-rank adapters (LoRA) into the weights")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--lora <folder>", LORA_FLAG_TEXT)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: LoraFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: LoraFlags): Promise<void> {
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (opened) => {
      const { file, adapters } = await mergeFolder(opened, flags.lora);
      await writeWithRecipes(terminal, file, [], flags.out, signal);
      const ranks = [...new Set(adapters.map(({ rank }) => rank))].sort((a, b) => a - b);
      if (flags.json === true) printJson(terminal, { out: flags.out, adapters: adapters.length, ranks });
      else {
        printNote(
          terminal,
          `wrote ${flags.out}: ${adapters.length} adapters of rank ${ranks.join(", ")} merged`,
        );
      }
    }),
  );
}

/** `file` with the adapters of a folder merged. */
export async function mergeFolder(
  file: ModelFile,
  folder: string,
): Promise<{ file: ModelFile; adapters: readonly StoredAdapter[] }> {
  const adapters = await openAdapterFolder(nodePlatform(), folder);
  return { file: withMergedAdapters(file, adapters), adapters };
}
