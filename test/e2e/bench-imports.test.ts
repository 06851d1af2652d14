/**
 * The benches import modules of the build by name and are not type-checked: every name must be there, or a rename would
 * show only when somebody measures again.
 */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = path.resolve(import.meta.dirname, "../..");
const IMPORT = /import \{([^}]+)\} from "((?:\.\.\/)+dist\/[^"]+)"/g;

const folders = ["bench", "scripts"].map((name) => path.join(ROOT, name));
const files = (
  await Promise.all(folders.map((folder) => readdir(folder, { recursive: true, withFileTypes: true })))
)
  .flat()
  .filter(({ name, parentPath }) => name.endsWith(".mjs") && !parentPath.includes("node_modules"))
  .map(({ name, parentPath }) => path.join(parentPath, name));

const imports = (
  await Promise.all(
    files.map(async (file) =>
      [...(await readFile(file, "utf8")).matchAll(IMPORT)].map(([, names, module]) => ({
        file: path.relative(ROOT, file),
        module: path.resolve(path.dirname(file), module),
        names: names.split(",").map((name) => name.trim().split(" as ")[0]),
      })),
    ),
  )
).flat();

describe("names that benches import from the build", () => {
  it("are found at all", () => expect(imports.length).toBeGreaterThan(50));

  it.each(imports)("$file: $names", async ({ module, names }) => {
    const exported: object = await import(pathToFileURL(module).href);
    expect(Object.keys(exported)).toEqual(expect.arrayContaining(names.filter((name) => name !== "")));
  });
});
