// Fails when a file under src/ imports against the layering of ARCHITECTURE.md, or uses `node:` outside the files that
// may. One line per violation, exit code 1. Imports point left to right only:
//   errors, platform < quantization < formats, tokenizer, program < models < methods, kernels < executors
//   < session, offload < training, evaluation, simulation < report < cli
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

// What each folder of src/ may import besides itself. A file directly in src/ counts as a folder of its name.
const BASE = ["errors", "platform"];
const FILES = [...BASE, "quantization", "formats", "tokenizer", "program"];
const MODELS = [...FILES, "models"];
const EXECUTORS = [...MODELS, "methods", "kernels", "executors"];
const ENGINE = [...EXECUTORS, "session", "offload"];
const STUDIES = [...ENGINE, "training", "evaluation", "simulation"];
const MAY_IMPORT = {
  errors: [],
  platform: ["errors"],
  quantization: [...BASE],
  formats: [...BASE, "quantization"],
  tokenizer: [...BASE, "quantization", "formats"],
  program: [...BASE, "quantization"],
  models: FILES,
  kernels: MODELS,
  methods: MODELS,
  executors: [...MODELS, "methods", "kernels"],
  session: EXECUTORS,
  offload: EXECUTORS,
  training: ENGINE,
  evaluation: ENGINE,
  simulation: ENGINE,
  report: STUDIES,
  // The entry that fills in Node's platform; index.ts re-exports it.
  "node-entry": STUDIES,
  index: [...STUDIES, "report", "node-entry"],
  cli: [...STUDIES, "report", "node-entry", "index"],
};

// The offline part of a method (everything but its recipe and rewrite) may also use the engine and the trainer.
const METHOD_CORE = /^methods\/(?:[^/]+\/)?(?:recipe|rewrite)(?:\.test)?\.ts$/;
const METHOD_OFFLINE_MAY_IMPORT = [...STUDIES];

// Where `node:` modules may be used under src/.
const NODE_ALLOWED = (file) =>
  file === "platform/node.ts" || file.startsWith("cli/") || file.endsWith(".test.ts");

// The numbers that kernels and executor share; read by both compilers.
const KERNEL_LAYOUTS = ["kernels/layout.ts", "kernels/training-layout.ts"];

// Who may import Node's platform: everyone else is handed a platform as a value.
const NODE_PLATFORM = "platform/node.ts";
const NODE_PLATFORM_ALLOWED = (file) =>
  file === "node-entry.ts" ||
  file.startsWith("cli/") ||
  // Entry points of the workers run on Node's or the browser's own side of the platform.
  file.endsWith("-worker.ts") ||
  file.endsWith(".test.ts");

const IMPORT =
  /(?:^|[\s;])(?:import|export)\s[^"';]*?from\s*["']([^"']+)["']|(?:^|[\s;])import\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)/g;

/** Path under src/ to its folder's key in MAY_IMPORT. */
function layerOf(file) {
  const [first, ...rest] = file.split("/");
  return rest.length === 0 ? first.replace(/\.ts$/, "") : first;
}

/** All import specifiers of a source text; comments are removed first so that examples in them do not count. */
function importsOf(text) {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  return [...code.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3]);
}

/** What is wrong with one import of one file; undefined when nothing is. */
function violationOf(file, specifier) {
  if (specifier.startsWith("node:")) {
    return NODE_ALLOWED(file) ? undefined : "node: modules belong in src/platform/node.ts and src/cli";
  }
  if (file.endsWith(".as.ts")) {
    const target = specifier.endsWith(".ts") ? specifier : `${specifier}.ts`;
    const resolved = path.posix.join(path.posix.dirname(file), target);
    return target.startsWith(".") && (target.endsWith(".as.ts") || KERNEL_LAYOUTS.includes(resolved))
      ? undefined
      : "*.as.ts files may import only other *.as.ts files and the layout files of kernels/";
  }
  if (!specifier.startsWith(".")) {
    return undefined;
  }
  const target = path.posix.join(path.posix.dirname(file), specifier);
  if (target.startsWith("..")) {
    return file.endsWith(".test.ts") ? undefined : "src/ may not import from outside src/";
  }
  if (target === NODE_PLATFORM && !NODE_PLATFORM_ALLOWED(file)) {
    return "the platform is passed in as a value by the entry points";
  }
  if (file.endsWith(".test.ts")) {
    return undefined;
  }
  if (target.endsWith(".test.ts")) {
    return "tests are not imported";
  }
  const [from, to] = [layerOf(file), layerOf(target)];
  const offline = from === "methods" && !METHOD_CORE.test(file);
  const allowed = offline ? METHOD_OFFLINE_MAY_IMPORT : MAY_IMPORT[from];
  if (allowed === undefined) {
    return `folder ${from} is not in the table of scripts/check-imports.mjs`;
  }
  return from === to || allowed.includes(to) ? undefined : `${from} may not import ${to}`;
}

const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, "..", "src"));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(path.sep).join("/"))
  .filter((file) => file.endsWith(".ts"))
  .sort();
let violations = 0;
for (const file of files) {
  for (const specifier of importsOf(readFileSync(path.join(root, file), "utf8"))) {
    const problem = violationOf(file, specifier);
    if (problem !== undefined) {
      console.error(`src/${file}: imports ${specifier} - ${problem}`);
      violations++;
    }
  }
}
if (violations > 0) {
  process.exitCode = 1;
} else if (files.length === 0) {
  console.error(`check-imports: no .ts files in ${root}`);
  process.exitCode = 1;
}
