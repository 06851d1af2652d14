/**
 * Quality beside simulated speed: the perplexity of a model with the caches of each row of a memory sweep
 * in the loop, every token sparse, and plots of the two. The speed is simulated from a trace, the
 * perplexity is measured.
 * Invariant: rows whose choices no cache can change share one measurement.
 */
import path from "node:path";
import { measurePerplexity } from "../evaluation/perplexity.ts";
import { openModelFile } from "../formats/open-model-file.ts";
import type { CacheSettings } from "../methods/dynamic-input-pruning/cached-columns.ts";
import { type CachePreference, prefersCached } from "../methods/dynamic-input-pruning/column-selection.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import { nodePlatform } from "../platform/node.ts";
import { withFile } from "../platform/with-file.ts";
import type { QualityPoint } from "../report/figures/simulated-quality.ts";
import type { TraceHeader } from "../simulation/memory/column-trace.ts";
import type { SweepRow } from "../simulation/memory/memory-sweep.ts";
import type { TransformerShape } from "../simulation/model-shapes.ts";
import { UsageError } from "./failure.ts";
import { loadFromFlags, type ModelFlags } from "./model-flags.ts";
import { withProgress } from "./progress.ts";
import { createRunFolder } from "./run-folder.ts";
import type { Terminal } from "./terminal.ts";
import { writeTextFile } from "./text-file.ts";

export interface QualityFlags {
  readonly model?: string;
  readonly text?: string;
  readonly characters?: number;
  readonly plots?: string;
}

export interface RatedRow extends SweepRow {
  /** Measured with this row's caches in the loop. */
  readonly perplexity?: number;
}

/** How the perplexities were measured. */
export interface QualityNote {
  readonly model: string;
  readonly protocol: "hf";
  readonly context: number;
  readonly characters: number;
  readonly tokensScored: number;
}

interface Measured {
  readonly perplexity: number;
  readonly note: QualityNote;
}

/** Throws UsageError for flags that need one another, and for preferences that the engine cannot repeat. */
export function checkQualityFlags(flags: QualityFlags, preferences: readonly CachePreference[]): void {
  const { model, text, plots, characters } = flags;
  if ((model === undefined) !== (text === undefined)) {
    throw new UsageError("simulate memory: --model and --text belong together, got only one");
  }
  if (model === undefined && (plots !== undefined || characters !== undefined)) {
    throw new UsageError(
      "simulate memory: --plots and --characters say nothing without --model and --text, whose perplexity is plotted",
    );
  }
  const beyondGamma = preferences
    .filter(prefersCached)
    .some(
      ({ topM, fixedTopN, warmUp, alphaBlend }) =>
        topM !== undefined || fixedTopN > 0 || warmUp || alphaBlend,
    );
  if (model !== undefined && beyondGamma) {
    throw new UsageError(
      "simulate memory: the engine prefers cached columns by gamma alone, expected no --top-m, --fixed-top-n, --warm-up or --alpha-blend with --model",
    );
  }
}

/**
 * Throws UsageError for a trace that the engine cannot repeat: of chosen columns,
 * or of another model's widths.
 */
export async function checkRatedTrace(model: string, { content, shape }: TraceHeader): Promise<void> {
  if (content === "columns") {
    throw new UsageError(
      "simulate memory: the trace holds chosen columns, expected scores where --model is to choose again - record one",
    );
  }
  await withFile(await openModelFile(nodePlatform(), model), async (file) => {
    const { width, feedForwardWidth } = (await loadRecipeProgram(file)).parameters;
    if (width === shape.width && feedForwardWidth === shape.feedForwardWidth) return;
    throw new UsageError(
      `simulate memory: --model ${file.name} has width ${width} and feed-forward width ${feedForwardWidth}, ` +
        `expected ${shape.width} and ${shape.feedForwardWidth} as ${shape.name} in the trace - give the model of the trace`,
    );
  });
}

/** The rows with the perplexity of `--model` on `--text`; both checks above have passed. */
export async function rateRows(
  terminal: Terminal,
  flags: QualityFlags & { readonly model: string },
  text: string,
  { rows, shape, signal }: { rows: readonly SweepRow[]; shape: TransformerShape; signal: AbortSignal },
): Promise<{ rows: RatedRow[]; quality: QualityNote }> {
  const jobs = new Set(rows.map((row) => keyOf(row, shape))).size;
  return withProgress(terminal, "scoring", "settings", async (onProgress) => {
    const measured = new Map<string, Measured>();
    const rated: (RatedRow & Measured)[] = [];
    for (const row of rows) {
      const key = keyOf(row, shape);
      const found = measured.get(key) ?? (await measure(terminal, flags.model, text, row, shape, signal));
      measured.set(key, found);
      onProgress(measured.size, jobs);
      rated.push({ ...row, ...found });
    }
    return {
      rows: rated.map(({ note: _, ...row }) => row),
      quality: rated[0].note,
    };
  });
}

/** Writes perplexity.speed.svg and perplexity.memory.svg; returns their paths. */
export async function writePlots(
  folder: string,
  rows: readonly RatedRow[],
  title: string,
): Promise<string[]> {
  // Drawing takes a library that no other run of the command should wait for.
  const { qualityMemorySvg, qualitySpeedSvg } = await import("../report/figures/simulated-quality.ts");
  const { standaloneSvg } = await import("../report/page.ts");
  await createRunFolder(folder, "--plots");
  const points = rows.map(qualityPoint);
  const plots = [
    ["perplexity.speed.svg", qualitySpeedSvg(points, title)],
    ["perplexity.memory.svg", qualityMemorySvg(points, title)],
  ] as const;
  const written: string[] = [];
  for (const [name, svg] of plots) {
    const file = path.join(folder, name);
    await writeTextFile(file, standaloneSvg(svg));
    written.push(file);
  }
  return written;
}

function qualityPoint(row: RatedRow): QualityPoint {
  const { method, policy, preference, density, dramBytes, tokensPerSecond, memoryBytes, perplexity } = row;
  if (perplexity === undefined) throw new Error("plots: a row was not rated");
  return {
    method,
    policy,
    gamma: preference.gamma,
    density,
    dramBytes,
    tokensPerSecond,
    memoryBytes,
    perplexity,
  };
}

/** What the engine must run for a row. */
function settingOf(
  { method, counts, policy, preference, cacheShare }: SweepRow,
  { width, feedForwardWidth }: TransformerShape,
): { model: Pick<ModelFlags, "inputDensity" | "gluDensity">; columnCache?: CacheSettings } {
  if (method === "dense") return { model: {} };
  if (counts === null) throw new Error("quality: recorded columns cannot be chosen again");
  // Half a column more than whole ones: rounding down gives back the count.
  const share = (count: number, columns: number) => Math.min(1, (count + 0.5) / columns);
  const model = {
    inputDensity: share(counts.input, width),
    gluDensity: share(counts.glu, feedForwardWidth),
  };
  if (!prefersCached(preference)) return { model };
  if (policy === "belady" || policy === "pinned") throw new Error(`quality: ${policy} prefers nothing`);
  return { model, columnCache: { gamma: preference.gamma, policy, share: cacheShare } };
}

function keyOf(row: SweepRow, shape: TransformerShape): string {
  return JSON.stringify(settingOf(row, shape));
}

async function measure(
  terminal: Terminal,
  source: string,
  text: string,
  row: SweepRow,
  shape: TransformerShape,
  signal: AbortSignal,
): Promise<Measured> {
  const { model: options, columnCache } = settingOf(row, shape);
  await using model = await loadFromFlags(terminal, { model: source, ...options }, undefined, {
    columnCache,
  });
  const { perplexity, context, tokensScored } = await measurePerplexity(model, text, {
    protocol: "hf",
    context: model.contextLength,
    signal,
  });
  const note = {
    model: model.file.name,
    protocol: "hf" as const,
    context,
    characters: text.length,
    tokensScored,
  };
  return { perplexity, note };
}
