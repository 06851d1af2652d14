/** The import rule catches what it is there for: each violation is one line, and the tree itself has none. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, test } from "vitest";

const script = path.resolve(import.meta.dirname, "../scripts/check-imports.mjs");
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) {
    rmSync(folder, { recursive: true });
  }
});

function check(files: { readonly [name: string]: string }): { status: number | null; lines: string[] } {
  const root = mkdtempSync(path.join(tmpdir(), "imports-"));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [script, root], { encoding: "utf8" });
  return { status, lines: stderr.split("\n").filter((line) => line !== "") };
}

test("the tree keeps the rule", () => {
  const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

const ALLOWED: { readonly [name: string]: string } = {
  "models/llama.ts": 'import { a } from "../program/program.ts";\nimport * as z from "zod";\n',
  "models/llama.test.ts":
    'import "../executors/reference/reference-executor.ts";\nimport fs from "node:fs";\n',
  "platform/node.ts": 'import { open } from "node:fs/promises";\n',
  "cli/main.ts": 'import process from "node:process";\nimport { x } from "../session/x.ts";\n',
  "kernels/linear/linear.as.ts": 'import { block } from "../layout.as";\n',
  "methods/tender/calibrate.ts": 'import { perplexity } from "../../evaluation/perplexity.ts";\n',
  "errors.ts": '/** import { x } from "./cli/main.ts" */\nexport const a = 1;\n',
};

test("what is allowed passes", () => {
  expect(check(ALLOWED)).toEqual({ status: 0, lines: [] });
});

const FORBIDDEN: readonly (readonly [string, string, string, RegExp])[] = [
  [
    "models see no executors",
    "models/a.ts",
    'import type { E } from "../executors/executor.ts";',
    /models may not import executors/,
  ],
  [
    "re-exports count",
    "program/a.ts",
    'export { x } from "../models/x.ts";',
    /program may not import models/,
  ],
  [
    "dynamic imports count",
    "session/a.ts",
    'const m = await import("../cli/main.ts");',
    /session may not import cli/,
  ],
  ["bare imports count", "formats/a.ts", 'import "../tokenizer/x.ts";', /formats may not import tokenizer/],
  [
    "multi-line imports count",
    "quantization/a.ts",
    'import {\n  a,\n  b,\n} from "../formats/x.ts";',
    /quantization may not import formats/,
  ],
  ["node: in the core", "formats/a.ts", 'import fs from "node:fs";', /node: modules belong/],
  [
    "the Node platform in the core",
    "session/a.ts",
    'import { nodePlatform } from "../platform/node.ts";',
    /passed in as a value/,
  ],
  [
    "a rewrite sees no session",
    "methods/tender/rewrite.ts",
    'import "../../session/x.ts";',
    /methods may not import session/,
  ],
  [
    "kernels import kernels only",
    "kernels/add/add.as.ts",
    'import { x } from "../add/reference.ts";',
    /only other \*\.as\.ts/,
  ],
  ["an unknown folder", "helpers/a.ts", 'import "../errors.ts";', /helpers is not in the table/],
  ["outside of src", "cli/a.ts", 'import "../../test/x.ts";', /outside src/],
];

for (const [title, name, text, message] of FORBIDDEN) {
  test(title, () => {
    const { status, lines } = check({ ...ALLOWED, [name]: text });
    expect(status).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
    expect(lines[0]).toContain(`src/${name}`);
  });
}
