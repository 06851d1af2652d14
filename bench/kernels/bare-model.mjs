// What benches make models of that are a few ops: buffers, and a file that holds computed tensors alone.
import { overlayFile } from "../../dist/formats/overlay-file.js";

/**
 * @import { ModelFile } from "../../dist/formats/model-file.js"
 * @import { ComputedTensor } from "../../dist/formats/overlay-file.js"
 * @import { Buffer } from "../../dist/program/program.js"
 */

/** @type {(name: string, width: number, rows?: Buffer["rows"]) => Buffer} */
export function buffer(name, width, rows = "tokens") {
  return { name, width, rows };
}

/** @type {(name: string, tensors: readonly ComputedTensor[]) => ModelFile} */
export function bareFile(name, tensors) {
  /** @type {ModelFile} */
  const empty = {
    container: "gguf",
    name,
    architecture: "bench",
    metadata: new Map(),
    tensors: new Map(),
    tensorBytes: 0,
    readRows: (tensor) => Promise.reject(new Error(`${name}: no tensor ${tensor}`)),
    close: () => Promise.resolve(),
  };
  return overlayFile(empty, tensors, undefined);
}
