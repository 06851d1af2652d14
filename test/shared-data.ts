/**
 * The one place that knows where the optional test data lives: the folder named by SKIM_DATA, or
 * `../shared/data` beside the repository. Tests that need it run when it is there and are listed as skipped,
 * with the reason in their name, when it is not. Nothing from that folder is ever copied into the repository.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { describe } from "vitest";

const root = process.env.SKIM_DATA ?? path.resolve(import.meta.dirname, "..", "../shared/data");

/** True when the data folder exists on this machine. */
export const hasData: boolean = existsSync(root);

/** Absolute path of a file or folder of the test data. */
export function dataPath(...parts: string[]): string {
  return path.join(root, ...parts);
}

/** A `describe` block that needs the data folder; without it the block is registered as skipped, loudly. */
export function describeWithData(name: string, fn: () => void): void {
  if (hasData) describe(name, fn);
  else describe.skip(`SKIPPED, TEST DATA IS ABSENT (no folder ${root}): ${name}`, fn);
}
