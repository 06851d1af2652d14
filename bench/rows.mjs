// Rows of results (results/README.md): what each says of itself, and how it gets into its file.
import { appendFileSync } from "node:fs";
import { describeMachine, readCommit, readLoad } from "./peers/machine.mjs";

/** When, from what commit, by what command and on what machine; `load` is what the bench saw before and meanwhile. */
export function describeRun(command, { before, ...meanwhile }) {
  return {
    date: new Date().toISOString(),
    ...readCommit(),
    command,
    machine: describeMachine(),
    load: { before, after: readLoad(), ...meanwhile },
  };
}

/** Appends the row to results/`name`.jsonl. */
export function appendRow(name, row) {
  appendFileSync(new URL(`results/${name}.jsonl`, import.meta.url), `${JSON.stringify(row)}\n`);
}
