/**
 * A hash that says which model a checkpoint was made from: SHA-256 over the tensors, by name,
 * shape and stored bytes.
 */
import { createHash } from "node:crypto";
import type { ModelFile } from "../formats/model-file.ts";
import { elementCount } from "../formats/tensor-layout.ts";
import { formatBytes } from "../quantization/weight-format.ts";

/** Bytes read at once. */
const PIECE_BYTES = 1 << 23;

export interface HashOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/** In hexadecimal; independent of the order of tensors in the file. */
export async function hashTensors(file: ModelFile, { signal, onProgress }: HashOptions): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  for (const { name, shape, format } of [...file.tensors.values()].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    hash.update(JSON.stringify([name, shape, format.name]));
    const columns = shape.at(-1) ?? 1;
    const rows = elementCount(shape) / columns;
    const rowBytes = formatBytes(format, columns);
    const pieceRows = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    for (let first = 0; first < rows; first += pieceRows) {
      signal.throwIfAborted();
      const bytes = new Uint8Array(Math.min(pieceRows, rows - first) * rowBytes);
      await file.readRows(name, first, bytes.length / rowBytes, bytes);
      hash.update(bytes);
      done += bytes.length;
      onProgress(done, file.tensorBytes);
    }
  }
  return hash.digest("hex");
}
