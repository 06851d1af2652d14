// Compiles src/kernels/kernels.as.ts into two WebAssembly modules with shared memory: one that uses relaxed
// SIMD and one restricted to plain SIMD. Both export the same kernels; the loader picks one by probing.
import { mkdirSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";

const root = path.dirname(import.meta.dirname);
const asc = path.join(
  path.dirname(createRequire(import.meta.url).resolve("assemblyscript/package.json")),
  "bin/asc.js",
);
mkdirSync(path.join(root, "dist/kernels"), { recursive: true });

for (const variant of ["relaxed", "plain"]) {
  const features = ["simd", "threads", "bulk-memory", ...(variant === "relaxed" ? ["relaxed-simd"] : [])];
  const flags = [
    path.join("src/kernels/kernels.as.ts"),
    "--outFile",
    path.join("dist/kernels", `${variant}.wasm`),
    "--runtime",
    "stub",
    "--importMemory",
    "--sharedMemory",
    "--maximumMemory",
    "65536",
    "--noAssert",
    "-O3",
    "--converge",
    "--use",
    `RELAXED=${variant === "relaxed" ? 1 : 0}`,
    ...features.flatMap((feature) => ["--enable", feature]),
  ];
  const result = spawnSync(process.execPath, [asc, ...flags], { cwd: root, stdio: "inherit" });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
