/**
 * `skim compress columns`: the feed-forward weights of a model as a file of columns,
 * for runs within a memory budget.
 */
import { type Command, Option } from "commander";
import { openModelFile } from "../formats/open-model-file.ts";
import { explainTensors, loadRecipeProgram } from "../methods/recipes.ts";
import { writeColumnFile } from "../offload/column-writer.ts";
import { createFileSink, nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { formatSize, printNote, type Terminal } from "./terminal.ts";

interface ColumnsFlags {
  readonly model: string;
  readonly bits?: "8" | "4";
  readonly out: string;
}

const EXAMPLES = `
Examples:
  $ skim compress columns --model llama.gguf --out llama.columns
  $ skim compress columns --model llama-q4_0.gguf --bits 4 --out llama.columns
  $ skim run --model llama.gguf --columns llama.columns --memory-budget 2GB --density 0.5 --prompt "Once"

The model file is still needed: attention, norms, embeddings and head are read from it into memory. Columns of 8 bits
have a scale each; those of 4 bits have one too, and a byte per 32 rows that says how much of it applies.`;

export function addColumnsCommand(group: Command, terminal: Terminal): void {
  group
    .command("columns")
    .description("feed-forward weights by columns, for models larger than the memory")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .addOption(new Option("--bits <n>", "bits per weight (default: 8)").choices(["8", "4"]))
    .requiredOption("--out <file>", "column file to write")
    .action((flags: ColumnsFlags) => writeColumns(terminal, flags));
}

async function writeColumns(terminal: Terminal, flags: ColumnsFlags): Promise<void> {
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (opened) => {
      const file = explainTensors(opened);
      const { program } = await loadRecipeProgram(file);
      const sink = await createFileSink(flags.out);
      try {
        const storage = flags.bits === "4" ? "q4" : "q8";
        const bytes = await withProgress(terminal, "writing", "bytes", (onProgress) =>
          writeColumnFile(file, program, sink, { storage, signal, onProgress }),
        );
        printNote(terminal, `wrote ${flags.out}: ${formatSize(bytes)}`);
      } catch (error) {
        await sink.abort();
        throw error;
      }
    }),
  );
}
