// Compiles src/kernels/kernels.as.ts into two WebAssembly modules with shared memory: one that uses relaxed
// SIMD and one restricted to plain SIMD. Both export the same functions; the executor picks one by probing.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const root = path.dirname(import.meta.dirname);
const asc = path.join(
  path.dirname(createRequire(import.meta.url).resolve("assemblyscript/package.json")),
  "bin/asc.js",
);
const flags = [
  "--runtime",
  "stub",
  "--importMemory",
  "--sharedMemory",
  "--maximumMemory",
  "65536",
  "--noAssert",
  "-O3",
  "--converge",
];
mkdirSync(path.join(root, "dist/kernels"), { recursive: true });

for (const variant of ["relaxed", "plain"]) {
  const features = ["simd", "threads", "bulk-memory", ...(variant === "relaxed" ? ["relaxed-simd"] : [])];
  const output = path.join("dist/kernels", `${variant}.wasm`);
  const result = spawnSync(
    process.execPath,
    [
      asc,
      "src/kernels/kernels.as.ts",
      "--outFile",
      output,
      ...flags,
      ...features.flatMap((name) => ["--enable", name]),
    ],
    { cwd: root, stdio: "inherit" },
  );
  if (result.status !== 0) process.exit(result.status ?? 1);
}
