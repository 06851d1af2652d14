/**
 * A GGUF file as a ModelFile: header parsed on opening, rows read on demand.
 * Source: the GGUF specification; `general.architecture` is its one required key.
 */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";
import { readGgufHeader } from "./gguf-reader.ts";
import type { GgufModelFile } from "./model-file.ts";
import { TensorTable } from "./tensor-layout.ts";

/**
 * Opens a GGUF model or vocabulary; takes over `source`, which `close` closes. FormatError for damaged files,
 * UnsupportedError for tensor types and versions skim does not read.
 */
export async function openGgufFile(source: ByteSource): Promise<GgufModelFile> {
  const { metadata, tensors } = await readGgufHeader(source);
  const architecture = metadata.get("general.architecture");
  if (typeof architecture !== "string") {
    throw new FormatError(
      `${source.name}: general.architecture is missing, expected a string - this is not a model`,
    );
  }
  const table = new TensorTable(source.name, tensors);
  return {
    container: "gguf",
    name: source.name,
    architecture,
    metadata,
    tensors: table.infos,
    tensorBytes: table.totalBytes,
    readRows: (tensor, firstRow, rowCount, target) => table.readRows(tensor, firstRow, rowCount, target),
    close: () => source.close(),
  };
}
