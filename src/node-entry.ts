/** The public entry points bound to Node's files, workers and clock. */
import {
  type ColumnStoreOptions,
  type FileColumnStore,
  openColumnStore as openColumnStoreOn,
} from "./offload/file-column-store.ts";
import { nodePlatform } from "./platform/node.ts";
import { loadModelOn } from "./session/load-model.ts";
import type { Model } from "./session/model.ts";
import type { LoadOptions } from "./session/options.ts";

/**
 * Loads a model: `source` is the path of a GGUF file or a Hugging Face folder. Throws OptionError
 * (options), ResourceError (cannot be read, out of memory), FormatError (damaged) and UnsupportedError
 * (not known to skim).
 */
export function loadModel(source: string, options: LoadOptions = {}): Promise<Model> {
  return loadModelOn(nodePlatform(), source, options);
}

/**
 * Opens a column file that `skim compress columns` wrote, for `EngineOptions.columnStore`; close it
 * once models are loaded. Throws OptionError, ResourceError (cannot be read) and FormatError (not a
 * column file, or damaged).
 */
export function openColumnStore(path: string, options: ColumnStoreOptions): Promise<FileColumnStore> {
  return openColumnStoreOn(nodePlatform(), path, options);
}
