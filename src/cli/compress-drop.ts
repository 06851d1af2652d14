/**
 * `skim compress drop`: a checkpoint without some of its layers,
 * or without the attention or MLP of some layers.
 */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { type DropResult, dropSublayers } from "../methods/trimllm/drop.ts";
import { mergeLayers } from "../methods/trimllm/merge.ts";
import { parseSublayer, type SublayerId, sublayerName, sublayersOf } from "../methods/trimllm/recipe.ts";
import { listSublayers } from "../methods/trimllm/sublayers.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import { keyValueBytes } from "../program/accounting.ts";
import { wholeNumber, wholeNumbers } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { writeNewFolder } from "./model-folder.ts";
import { hashTensors } from "./model-hash.ts";
import { withProgress } from "./progress.ts";
import { formatSize, printJson, printNote, type Terminal } from "./terminal.ts";

interface DropFlags {
  readonly model: string;
  readonly layers?: readonly number[];
  readonly sublayers?: readonly SublayerId[];
  readonly mergeInto?: number;
  readonly out: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ skim compress drop --model ./SmolLM-135M --layers 11,12 --out smollm-28
  $ skim compress drop --model ./SmolLM-135M --sublayers 3.attention,5.mlp --out smollm-small
  $ skim compress drop --model ./SmolLM-135M --layers 11,12 --merge-into 10 --out smollm-merged

Layers count from 0 and keep their numbers when others are gone, so a model can be dropped from again. The folder holds
neither the dropped tensors nor anything in their place, and the keys and values of dropped attentions are not kept either.
Nothing is tuned here; skim train does that. Quantize afterwards.`;

export function addDropCommand(group: Command, terminal: Terminal): void {
  group
    .command("drop")
    .description("leave out whole layers, or the attention or MLP of some")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .option("--layers <n,...>", "layers to leave out", wholeNumbers(0))
    .option("--sublayers <name,...>", "sublayers to leave out, such as 3.attention,5.mlp", sublayerIds)
    .option("--merge-into <n>", "add what distinguishes --layers to this layer (LaCo)", wholeNumber(0))
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: DropFlags) => compress(terminal, flags));
}

function sublayerIds(text: string): SublayerId[] {
  try {
    return text.split(",").map((part) => parseSublayer(part.trim()));
  } catch {
    throw new InvalidArgumentError("Expected names such as 3.attention or 5.mlp.");
  }
}

async function compress(terminal: Terminal, flags: DropFlags): Promise<void> {
  const { layers = [], sublayers = [] } = flags;
  if (layers.length + sublayers.length === 0) {
    throw new UsageError("compress drop: expected --layers, --sublayers or both");
  }
  if (flags.mergeInto !== undefined && (sublayers.length > 0 || layers.includes(flags.mergeInto))) {
    throw new UsageError("compress drop: --merge-into takes up whole --layers, and another one than these");
  }
  await withInterrupt(async (signal) =>
    withFile(await openModelFile(nodePlatform(), flags.model), async (file) => {
      const base = await withProgress(terminal, "reading", "bytes", (onProgress) =>
        hashTensors(file, { signal, onProgress }),
      );
      const dropped = [...(await presentIn(file, layers)), ...sublayers];
      const { program } = await loadRecipeProgram(file);
      const source =
        flags.mergeInto === undefined ? file : mergeLayers(file, program, layers, flags.mergeInto);
      const result = await dropSublayers(source, dropped, { base });
      await writeNewFolder(terminal, result.file, flags.out, signal);
      await report(terminal, flags, file, result);
    }),
  );
}

/** What is left of `layers` in the file. UsageError for a layer of which nothing is. */
async function presentIn(file: ModelFile, layers: readonly number[]): Promise<SublayerId[]> {
  const { program } = await loadRecipeProgram(file);
  const present = listSublayers(program);
  return layers.flatMap((layer) => {
    const own = present.filter((sublayer) => sublayer.layer === layer);
    if (own.length > 0) return own.map(({ kind }) => ({ layer, kind }));
    const known = [...new Set(present.map((sublayer) => sublayer.layer))].join(", ");
    throw new UsageError(`compress drop: --layers, expected some of ${known}, got ${layer}`);
  });
}

async function report(
  terminal: Terminal,
  flags: DropFlags,
  before: ModelFile,
  { file, recipe }: DropResult,
): Promise<void> {
  const cacheBytes = async (model: ModelFile) =>
    keyValueBytes((await loadRecipeProgram(model)).program, "f16");
  const summary = {
    out: flags.out,
    dropped: sublayersOf(recipe, false).map(sublayerName),
    tensorBytes: { before: before.tensorBytes, after: file.tensorBytes },
    keyValueBytesPerPosition: { before: await cacheBytes(before), after: await cacheBytes(file) },
  };
  if (flags.json === true) return printJson(terminal, summary);
  const { tensorBytes, keyValueBytesPerPosition: cache } = summary;
  printNote(
    terminal,
    `wrote ${flags.out} without ${summary.dropped.join(", ")}: ${formatSize(tensorBytes.before)} of tensors became ` +
      `${formatSize(tensorBytes.after)}, keys and values of a position ${cache.before} bytes became ${cache.after}`,
  );
}
