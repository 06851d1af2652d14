import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { loadWithColumns } from "./column-flags.ts";
import { UsageError } from "./failure.ts";

const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };

test.each([
  ["--memory-budget", { memoryBudget: 1e9 }],
  ["--no-read-ahead", { readAhead: false }],
])("refuses %s without --columns", async (flag, flags) => {
  const loading = loadWithColumns(terminal, { model: "none.gguf", ...flags });
  await expect(loading).rejects.toBeInstanceOf(UsageError);
  await expect(loading).rejects.toThrow(`${flag} means nothing without --columns`);
});
