/**
 * A ModelFile on top of another: some tensors are added or replaced by computed ones, the rest shows through.
 * What a compression method makes of a checkpoint is such a file; it can be run at once or written to disk.
 * Invariant: computed rows are made when they are read,
 * so a model larger than memory passes through piece by piece.
 */
import { FormatError } from "../errors.ts";
import { formatBytes, type WeightFormat } from "../quantization/weight-format.ts";
import type { Json, ModelFile, TensorInfo } from "./model-file.ts";
import { tensorByteSize } from "./tensor-layout.ts";

/** A tensor that is computed. */
export interface ComputedTensor {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly format: WeightFormat;
  /** Values f32 of rows [firstRow, firstRow + rowCount), before encoding. */
  readonly values: (firstRow: number, rowCount: number) => Promise<Float32Array> | Float32Array;
}

/** A computed tensor of one dimension whose values are known. */
export function vectorTensor(name: string, format: WeightFormat, values: Float32Array): ComputedTensor {
  return { name, shape: [values.length], format, values: () => values };
}

/**
 * `base` with `computed` laid over it and without the tensors named in `hidden`. Closing it closes `base`.
 * `recipes` is the section that config.json would have.
 */
export function overlayFile(
  base: ModelFile,
  computed: readonly ComputedTensor[],
  recipes: Json | undefined,
  hidden: readonly string[] = [],
): ModelFile {
  const byName = new Map(computed.map((tensor) => [tensor.name, tensor]));
  const tensors = new Map(base.tensors);
  for (const { name, shape, format } of computed) {
    const bytes = tensorByteSize(`${base.name}: tensor "${name}"`, shape, format);
    tensors.set(name, { name, shape, format, bytes } satisfies TensorInfo);
  }
  for (const name of hidden) tensors.delete(name);
  return {
    ...base,
    tensors,
    tensorBytes: [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    recipes,
    async readRows(name, firstRow, rowCount, target) {
      const tensor = byName.get(name);
      if (tensor === undefined) return base.readRows(name, firstRow, rowCount, target);
      await encodeRows(base.name, tensor, firstRow, rowCount, target);
    },
    close: () => base.close(),
  };
}

async function encodeRows(
  file: string,
  { name, shape, format, values }: ComputedTensor,
  firstRow: number,
  rowCount: number,
  target: Uint8Array,
): Promise<void> {
  const columns = shape.at(-1) ?? 1;
  if (format.encode === undefined) throw new Error(`overlay: ${format.name} has no encoder`);
  if (target.length !== formatBytes(format, rowCount * columns)) {
    throw new FormatError(
      `${file}: ${rowCount} rows of tensor "${name}" need a target of ${formatBytes(format, rowCount * columns)} bytes, got ${target.length}`,
    );
  }
  // Encoded beside the target: shared memory is no place for partial writes of an encoder.
  const bytes = new Uint8Array(target.length);
  format.encode(await values(firstRow, rowCount), bytes);
  target.set(bytes);
}
