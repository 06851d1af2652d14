/** `skim compress prosparse`: a ReLU model whose feed-forward skips the neurons that a token leaves at zero. */
import type { Command } from "commander";
import { writeModelFolder } from "../formats/folder-writer.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import { overlayFile } from "../formats/overlay-file.ts";
import { exactShare } from "../methods/prosparse/cost.ts";
import type { ProSparseRecipe } from "../methods/prosparse/recipe.ts";
import { rewriteNeurons, sparseLayers } from "../methods/prosparse/rewrite.ts";
import { measureSparsity } from "../methods/prosparse/sparsity.ts";
import { loadRecipeProgram, readRecipes, recipeSection } from "../methods/recipes.ts";
import { cutSegments } from "../methods/tender/calibration.ts";
import { createFolderSink, nodePlatform } from "../platform/node.ts";
import type { Program } from "../program/program.ts";
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts";
import { realNumber, wholeNumber } from "./arguments.ts";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";
import { MODEL_FLAG_TEXT } from "./model-flags.ts";
import { startProgress } from "./progress.ts";
import { printJson, printNote, type Terminal } from "./terminal.ts";
import { readTextFlag } from "./text-file.ts";

interface ProSparseFlags {
  readonly model: string;
  readonly text: string;
  readonly mostLive: number;
  readonly segments: number;
  readonly threads?: number;
  readonly out: string;
  readonly json?: boolean;
}

type LiveShare = ProSparseRecipe["layers"][number];

const EXAMPLES = `
Examples:
  $ skim compress prosparse --model ./prosparse-llama-2-7b --text sample.txt --out prosparse-exact
  $ skim compress prosparse --model tales-relu --text sample.txt --most-live 0.5 --out tales-sparse

For models whose feed-forward activation is relu or fatrelu (skim train prosparse makes them). The gate is computed
densely; rows of up and columns of down are read only for neurons whose gate is open, so the result is that of the dense
model. The text shows how many neurons live in each layer: layers where more than --most-live do stay dense.`;

/** Tokens per segment of the text. */
const SEGMENT = 256;

export function addProSparseCompressCommand(group: Command, terminal: Terminal): void {
  group
    .command("prosparse")
    .description("skip feed-forward neurons whose gate is closed, exactly (ReLU models)")
    .addHelpText("after", EXAMPLES)
    .requiredOption("-m, --model <path>", MODEL_FLAG_TEXT)
    .requiredOption("--text <file>", "text like what the model will see")
    .option("--most-live <share>", "largest share of live neurons that pays", realNumber(0, 1), 0.6)
    .option("--segments <n>", "most segments of 256 tokens to use", wholeNumber(1), 16)
    .option("-t, --threads <n>", "threads that share the work (default: one per core)", wholeNumber(1, 256))
    .requiredOption("--out <folder>", "folder to write; must not exist")
    .option("--json", "print one JSON object")
    .action((flags: ProSparseFlags) => compress(terminal, flags));
}

async function compress(terminal: Terminal, flags: ProSparseFlags): Promise<void> {
  const text = await readTextFlag(flags.text, "--text");
  await withInterrupt(async (signal) => {
    const file = await openModelFile(nodePlatform(), flags.model);
    try {
      const { program } = await loadRecipeProgram(file);
      const shares = await countLive(terminal, flags, file, program, text, signal);
      const paying = shares.filter(({ liveShare }) => liveShare <= flags.mostLive);
      await writeSparse(terminal, flags, file, program, paying, signal);
      report(terminal, flags, shares, paying.length);
    } catch (error) {
      throw signal.aborted ? new InterruptedError() : error;
    } finally {
      await file.close();
    }
  });
}

/** Share of open gates of every layer on the text. */
async function countLive(
  terminal: Terminal,
  flags: ProSparseFlags,
  file: ModelFile,
  program: Program,
  text: string,
  signal: AbortSignal,
): Promise<LiveShare[]> {
  const layers = sparseLayers(program);
  const platform = nodePlatform();
  const tokenizer = await loadTokenizer(file);
  const segments = cutSegments(tokenizer.encode(text, { addSpecial: false, parseSpecial: false }), {
    segmentTokens: Math.min(SEGMENT, program.contextLength),
    chunkRows: undefined,
    maxSegments: flags.segments,
    bosId: tokenizer.bosId,
  });
  const progress = startProgress(terminal, "counting live neurons", "tokens");
  const measured = await measureSparsity(platform, file, program, {
    segments,
    of: "gates",
    threads: flags.threads ?? platform.coreCount,
    signal,
    onProgress: (done, total) => progress.update(done, total),
  }).finally(() => progress.end());
  return layers.map((layer, i) => ({ layer, liveShare: 1 - measured.layers[i] }));
}

async function writeSparse(
  terminal: Terminal,
  flags: ProSparseFlags,
  file: ModelFile,
  program: Program,
  layers: readonly LiveShare[],
  signal: AbortSignal,
): Promise<void> {
  const recipes = [...readRecipes(file)];
  if (layers.length > 0) {
    const recipe: ProSparseRecipe = { method: "prosparse", version: 1, layers: [...layers] };
    rewriteNeurons(program, recipe);
    recipes.push(recipe);
  }
  const sink = await createFolderSink(flags.out);
  const progress = startProgress(terminal, "writing");
  try {
    await writeModelFolder(overlayFile(file, [], recipeSection(recipes)), sink.open, {
      signal,
      onProgress: (done, total) => progress.update(done, total),
    }).finally(() => progress.end());
    await sink.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

function report(
  terminal: Terminal,
  flags: ProSparseFlags,
  shares: readonly LiveShare[],
  payingCount: number,
): void {
  const isDense = ({ liveShare }: LiveShare) => liveShare > flags.mostLive;
  const read = shares.map((share) => (isDense(share) ? 1 : exactShare(1 - share.liveShare)));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const feedForwardShare = mean(read);
  if (flags.json === true) {
    const dense = shares.filter(isDense).map(({ layer }) => layer);
    printJson(terminal, { out: flags.out, layers: shares, dense, feedForwardShare });
    return;
  }
  const live = mean(shares.map(({ liveShare }) => liveShare));
  printNote(
    terminal,
    `wrote ${flags.out}: ${percent(live)} of the neurons live on average, a generated token reads ${percent(feedForwardShare)} of the feed-forward weights`,
  );
  if (payingCount === shares.length) return;
  const list = shares.filter(isDense).map(({ layer, liveShare }) => `${layer} (${percent(liveShare)})`);
  printNote(terminal, `layers that stay dense, too many of their neurons live: ${list.join(", ")}`);
}
