/** The flags of commands that run models larger than the memory, and the loading of such models. */
import { type Command, Option } from "commander";
import { CAUSAL_POLICIES, type CausalPolicy } from "../offload/eviction.ts";
import { type FileColumnStore, openColumnStore } from "../offload/file-column-store.ts";
import { nodePlatform } from "../platform/node.ts";
import type { Model } from "../session/model.ts";
import { byteSize, realNumber } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { loadFromFlags, type ModelFlags } from "./model-flags.ts";
import type { Terminal } from "./terminal.ts";

export interface ColumnFlags extends ModelFlags {
  readonly columns?: string;
  readonly memoryBudget?: number;
  readonly cachePolicy?: CausalPolicy;
  readonly gamma?: number;
}

export function addColumnFlags(command: Command): Command {
  return command
    .option(
      "--columns <file>",
      "read feed-forward columns from this file (skim compress columns) when needed",
    )
    .option("--memory-budget <size>", "with --columns: memory for everything, such as 2GB", byteSize)
    .addOption(
      new Option(
        "--cache-policy <name>",
        "with --columns: which columns stay in memory (default: lfu)",
      ).choices([...CAUSAL_POLICIES]),
    )
    .option(
      "--gamma <factor>",
      "with --columns: weight of columns that are not in memory when choosing (default: 1, as any)",
      realNumber(0, 1),
    );
}

/** Loads the model with its columns in a file where --columns says so. */
export async function loadWithColumns(terminal: Terminal, flags: ColumnFlags): Promise<Model> {
  const columnStore = await openColumns(flags);
  try {
    return await loadFromFlags(terminal, flags, undefined, columnStore);
  } finally {
    await columnStore?.close();
  }
}

/** The column file of --columns; its flags mean nothing without it. */
async function openColumns(flags: ColumnFlags): Promise<FileColumnStore | undefined> {
  const { columns, memoryBudget, cachePolicy, gamma } = flags;
  if (columns === undefined) {
    const stray = [
      ["--memory-budget", memoryBudget],
      ["--cache-policy", cachePolicy],
      ["--gamma", gamma],
    ].find(([, value]) => value !== undefined);
    if (stray !== undefined) {
      throw new UsageError(
        `${stray[0]} means nothing without --columns - write a column file with skim compress columns`,
      );
    }
    return undefined;
  }
  if (memoryBudget === undefined) {
    throw new UsageError("--columns needs --memory-budget, such as --memory-budget 2GB");
  }
  return openColumnStore(nodePlatform(), columns, { budgetBytes: memoryBudget, policy: cachePolicy, gamma });
}
