#!/usr/bin/env node
/**
 * The `skim` command: runs the tree of commands on the process
 * and turns every outcome into an exit code (failure.ts).
 */
import { buildCommand } from "./command-tree.ts";
import { reportFailure } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

async function main(): Promise<number> {
  const terminal: Terminal = process;
  // A reader that has seen enough (`skim run | head`) is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  try {
    await buildCommand(terminal).parseAsync(process.argv);
    return 0;
  } catch (error) {
    return reportFailure(terminal, error);
  }
}

process.exitCode = await main();
