// The built engine that is compared: dist/ of this repository.
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const DIST = path.resolve(import.meta.dirname, "..", "..", "dist");

/**
 * Imports a module of the build, e.g. `index.js`. Throws when there is no build.
 * @param {string} module path under dist/
 * @returns {Promise<any>}
 */
export function importSkim(module) {
  const file = path.join(DIST, module);
  if (!existsSync(file)) {
    throw new Error(
      `skim: no build, expected ${file} - run npm ci && npm run build in the repository's root`,
    );
  }
  return import(pathToFileURL(file).href);
}
