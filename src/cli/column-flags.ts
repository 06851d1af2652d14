/**
 * The flags of commands that skip columns with a cache in the loop: of models larger than the memory
 * (--columns), or with all columns in memory, where caches only decide what is chosen. And what such
 * a run has to report.
 */
import { type Command, Option } from "commander";
import type { CacheSettings } from "../methods/dynamic-input-pruning/cached-columns.ts";
import { CAUSAL_POLICIES, type CausalPolicy } from "../methods/dynamic-input-pruning/eviction.ts";
import { type FileColumnStore, openColumnStore } from "../offload/file-column-store.ts";
import { nodePlatform } from "../platform/node.ts";
import type { Model } from "../session/model.ts";
import { byteSize, realNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { loadFromFlags, type ModelFlags } from "./model-flags.ts";
import { formatSize, printJson, printLine, printNote, type Terminal } from "./terminal.ts";

export interface ColumnFlags extends ModelFlags {
  readonly columns?: string;
  readonly memoryBudget?: number;
  readonly cachePolicy?: CausalPolicy;
  readonly cacheShare?: number;
  readonly gamma?: number;
  readonly readAhead?: boolean;
}

const DEFAULT_POLICY: CausalPolicy = "lfu";
const DEFAULT_SHARE = 0.5;

export function addColumnFlags(command: Command): Command {
  return command
    .option(
      "--columns <file>",
      "read feed-forward columns from this file (skim compress columns) when needed",
    )
    .option("--memory-budget <size>", "with --columns: memory for everything, such as 2GB", byteSize)
    .option(
      "--no-read-ahead",
      "with --columns: read nothing before it is asked for (slower; results are the same)",
    )
    .option(
      "--gamma <factor>",
      "cache-aware pruning: weight of columns that are not cached when choosing (default: 1, as any)",
      realNumber(0, 1),
    )
    .addOption(
      new Option("--cache-policy <name>", `what a full cache keeps (default: ${DEFAULT_POLICY})`).choices([
        ...CAUSAL_POLICIES,
      ]),
    )
    .option(
      "--cache-share <share>",
      `without --columns: columns that each cache would hold (default: ${DEFAULT_SHARE})`,
      realNumber(0, 1),
    );
}

/**
 * Loads the model with its columns in a file where --columns says so,
 * and with caches where flags speak of them.
 */
export async function loadWithColumns(
  terminal: Terminal,
  flags: ColumnFlags,
  contextLength?: number,
): Promise<Model> {
  if (flags.columns === undefined) {
    return loadFromFlags(terminal, flags, contextLength, { columnCache: cacheSettings(flags) });
  }
  const columnStore = await openColumns(flags.columns, flags);
  try {
    return await loadFromFlags(terminal, flags, contextLength, { columnStore });
  } finally {
    await columnStore.close();
  }
}

async function openColumns(path: string, flags: ColumnFlags): Promise<FileColumnStore> {
  const { memoryBudget, cachePolicy, cacheShare, gamma } = flags;
  if (memoryBudget === undefined) {
    throw new UsageError("--columns needs --memory-budget, such as --memory-budget 2GB");
  }
  if (cacheShare !== undefined) {
    throw new UsageError("--cache-share means nothing with --columns - the memory budget decides");
  }
  return openColumnStore(nodePlatform(), path, {
    budgetBytes: memoryBudget,
    policy: cachePolicy ?? DEFAULT_POLICY,
    gamma,
    readAhead: flags.readAhead,
  });
}

/** Caches of a run with all columns in memory; undefined when no flag speaks of them. */
function cacheSettings(flags: ColumnFlags): CacheSettings | undefined {
  const { memoryBudget, cachePolicy, cacheShare, gamma } = flags;
  if (memoryBudget !== undefined) {
    throw new UsageError(
      "--memory-budget means nothing without --columns - write a column file with skim compress columns",
    );
  }
  if (flags.readAhead === false) {
    throw new UsageError("--no-read-ahead means nothing without --columns - leave it out");
  }
  if (cachePolicy === undefined && cacheShare === undefined && gamma === undefined) return undefined;
  return {
    gamma: gamma ?? 1,
    policy: cachePolicy ?? DEFAULT_POLICY,
    share: cacheShare ?? DEFAULT_SHARE,
  };
}

/** What caches and files did for the generated tokens of a run. */
export interface ColumnReport {
  readonly gamma: number;
  readonly policy: CausalPolicy;
  /** Of a cache, with all columns in memory. */
  readonly share?: number;
  /** Share of the chosen columns that were cached. */
  readonly hitRate: number;
  /** With --columns: */
  readonly file?: {
    readonly bytesPerToken: number;
    readonly promptBytes: number;
    /**
     * Shares of the bytes of prompts and generated tokens that
     * were read before they were asked for, and then used.
     */
    readonly aheadShare: number;
    readonly aheadUsedShare: number;
    /** Time spent waiting for columns. */
    readonly waitingMs: number;
    /** Whether the page cache was bypassed. */
    readonly direct: boolean;
    readonly peakMemoryBytes: number;
  };
}

/**
 * Prints what a command found, with what columns did: one JSON object with --json, otherwise what `print`
 * prints and a line about the columns.
 */
export function printWithColumns(
  terminal: Terminal,
  model: Model,
  flags: ColumnFlags & { readonly json?: boolean },
  found: object,
  print: () => void,
): void {
  const columns = columnReport(model, flags);
  notePageCache(terminal, columns);
  if (flags.json === true) {
    printJson(terminal, { ...found, ...(columns && { columns }) });
    return;
  }
  print();
  if (columns !== undefined) printLine(terminal, columnLine(columns));
}

/** Undefined without caches and files. Of all generated tokens since the model was loaded. */
export function columnReport({ executor }: Model, flags: ColumnFlags): ColumnReport | undefined {
  const fetched = executor.fetchCounts?.();
  const counts = fetched ?? executor.cacheCounts?.();
  if (counts === undefined) return undefined;
  const { gamma = 1, cachePolicy: policy = DEFAULT_POLICY, cacheShare: share = DEFAULT_SHARE } = flags;
  const hitRate = counts.chosen > 0 ? counts.hits / counts.chosen : 0;
  if (fetched === undefined) return { gamma, policy, share, hitRate };
  const all = Math.max(1, fetched.generationBytes + fetched.promptBytes);
  const file = {
    bytesPerToken: fetched.generationBytes / Math.max(1, fetched.tokens),
    promptBytes: fetched.promptBytes,
    aheadShare: fetched.aheadBytes / all,
    aheadUsedShare: fetched.aheadUsedBytes / all,
    waitingMs: fetched.generationMs,
    direct: fetched.direct,
    peakMemoryBytes: nodePlatform().peakMemoryBytes(),
  };
  return { gamma, policy, hitRate, file };
}

/** The report for people. */
export function columnLine({ gamma, policy, share, hitRate, file }: ColumnReport): string {
  const cache =
    share === undefined ? policy : `${policy} caches of ${(100 * share).toFixed(0)} % of the columns`;
  const hits = `columns: ${(100 * hitRate).toFixed(1)} % of the chosen ones were cached (${cache}, gamma ${gamma})`;
  if (file === undefined) return hits;
  return `${hits}; ${formatSize(file.bytesPerToken)} per token from the file; peak memory ${formatSize(file.peakMemoryBytes)}`;
}

/** Says so where some of the reads from a file came from memory. */
export function notePageCache(terminal: Terminal, report: ColumnReport | undefined): void {
  if (report?.file?.direct !== false) return;
  printNote(
    terminal,
    "note: columns were read through the page cache, so some came from memory and not from disk",
  );
}
