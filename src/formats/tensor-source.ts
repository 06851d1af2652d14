/**
 * What writers need to know about a tensor, and how its bytes reach the file: piece by piece, so that a model
 * larger than memory can be written.
 * Invariant: the pieces add up to exactly the bytes the header promised.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSink } from "../platform/types.ts";
import { formatBytes, type WeightFormat } from "../quantization/weight-format.ts";
import { tensorByteSize } from "./tensor-layout.ts";

/** A tensor to write. */
export interface TensorSource {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly format: WeightFormat;
  /** Its bytes in pieces of any length; called once, when it is the tensor's turn. */
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A tensor whose bytes are `values` in `format`, encoded when it is the tensor's turn. */
export function tensorFromValues(
  name: string,
  shape: readonly number[],
  format: WeightFormat,
  values: Float32Array,
): TensorSource {
  return {
    name,
    shape,
    format,
    *data() {
      if (format.encode === undefined)
        throw new UnsupportedError(
          `tensor "${name}": skim cannot write ${format.name} - choose another format`,
        );
      const bytes = new Uint8Array(tensorByteSize(`tensor "${name}"`, shape, format));
      if (formatBytes(format, values.length) !== bytes.length) {
        throw new FormatError(
          `tensor "${name}": got ${values.length} values, expected as many as [${shape.join(", ")}] has`,
        );
      }
      format.encode(values, bytes);
      yield bytes;
    },
  };
}

/** FormatError when two tensors share a name. */
export function checkUniqueNames(file: string, tensors: readonly TensorSource[]): void {
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name))
      throw new FormatError(
        `${file}: tensor "${name}" is to be written twice, expected unique names - rename one`,
      );
    seen.add(name);
  }
}

/** Appends a tensor's data, FormatError when it is not exactly `bytes` long. */
export async function writeTensorData(sink: ByteSink, tensor: TensorSource, bytes: number): Promise<void> {
  let written = 0;
  for await (const piece of tensor.data()) {
    written += piece.length;
    if (written > bytes) break;
    await sink.write(piece);
  }
  if (written !== bytes) {
    throw new FormatError(
      `${sink.name}: data of tensor "${tensor.name}" has ${written > bytes ? "more than " : ""}${Math.min(written, bytes)} bytes, expected ${bytes}`,
    );
  }
}

/** Runs `write`, then makes the file visible; when anything fails nothing is left behind. */
export async function writeCompletely(sink: ByteSink, write: () => Promise<void>): Promise<void> {
  try {
    await write();
    await sink.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
