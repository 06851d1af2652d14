/**
 * `skim compress input-groups`: 4-bit weights with a scale per group of inputs; the plain scheme,
 * without calibration.
 */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { openModelFile } from "../formats/open-model-file.ts";
import { compressInputGroups } from "../methods/input-groups/compress.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeNewFolder } from "./model-folder.ts";
import { formatSize, printNote, type Terminal } from "./terminal.ts";

interface InputGroupsFlags {
  readonly model: string;
  readonly size: 32 | 64 | 128;
  readonly out: string;
}

const EXAMPLES = `
Examples:
  $ skim compress input-groups --model ./SmolLM-135M --size 64 --out smollm-4bit

Weights become 4-bit codes with one 16-bit scale per group of inputs (4.5, 4.25 or 4.125 bits per weight in the file).`;

function groupSize(text: string): 32 | 64 | 128 {
  const size = ([32, 64, 128] as const).find((candidate) => String(candidate) === text);
  if (size === undefined) throw new InvalidArgumentError("Expected 32, 64 or 128.");
  return size;
}

export function addInputGroupsCommand(group: Command, terminal: Terminal): void {
  group
    .command("input-groups")
    .description("4-bit weights with a scale per group of inputs, no calibration")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .option("--size <n>", "inputs per group: 32, 64 or 128", groupSize, 64)
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .action((flags: InputGroupsFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: InputGroupsFlags): Promise<void> {
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
      const { program } = await loadRecipeProgram(file);
      const result = compressInputGroups(file, program, flags.size);
      await writeNewFolder(terminal, result.file, flags.out, signal);
      const left = result.left.length === 0 ? "" : `, ${result.left.length} matrices left as they were`;
      printNote(
        terminal,
        `wrote ${flags.out}: groups of ${flags.size}, ${formatSize(file.tensorBytes)} of tensors became ${formatSize(result.file.tensorBytes)}${left}`,
      );
    }),
  );
}
