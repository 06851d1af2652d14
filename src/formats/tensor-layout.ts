/**
 * Where tensors lie in a file: byte sizes from shapes,
 * and the checks and row access that every container shares.
 * Invariant: after `checkTensorLayout` no tensor reaches outside its file or into another tensor.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";
import { formatBytes, type WeightFormat } from "../quantization/weight-format.ts";
import type { ModelFile, TensorInfo } from "./model-file.ts";

/** A tensor and the place its bytes start at. */
export interface StoredTensor {
  readonly info: TensorInfo;
  readonly source: ByteSource;
  /** Absolute offset in the file. */
  readonly offset: number;
  /** Why skim lists the tensor but does not read it; absent for the formats it reads. */
  readonly refusal?: string;
}

/** Elements of a tensor of `shape`; 1 for the empty shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Elements of all stored tensors of a model; tied weights count once. */
export function parameterCount({ tensors }: Pick<ModelFile, "tensors">): number {
  let count = 0;
  for (const { shape } of tensors.values()) count += elementCount(shape);
  return count;
}

/**
 * Bytes of a tensor of `shape` (outermost first) in `format`. FormatError when a row does not consist of
 * whole blocks or the product overflows what a double counts exactly.
 */
export function tensorByteSize(what: string, shape: readonly number[], format: WeightFormat): number {
  const columns = shape.at(-1) ?? 1;
  if (columns % format.blockSize !== 0) {
    throw new FormatError(
      `${what}: a row of ${columns} weights cannot be ${format.name}, expected a multiple of ${format.blockSize} - choose a format with smaller blocks`,
    );
  }
  let count = 1;
  for (const dimension of shape) {
    count *= dimension;
    if (count > Number.MAX_SAFE_INTEGER) {
      throw new FormatError(`${what}: shape [${shape.join(", ")}] overflows - the file is damaged`);
    }
  }
  const bytes = formatBytes(format, count);
  if (bytes > Number.MAX_SAFE_INTEGER) {
    throw new FormatError(`${what}: shape [${shape.join(", ")}] overflows - the file is damaged`);
  }
  return bytes;
}

/** FormatError when a tensor of one file leaves [dataStart, end of file) or two of them overlap. */
export function checkTensorLayout(
  source: ByteSource,
  tensors: readonly StoredTensor[],
  dataStart: number,
): void {
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset || a.info.bytes - b.info.bytes);
  let end = dataStart;
  let previous = "the header";
  for (const { info, offset } of sorted) {
    if (offset + info.bytes > source.size) {
      throw new FormatError(
        `${source.name}: tensor "${info.name}" ends at byte ${offset + info.bytes}, expected at most ${source.size} (the file size) - the file is truncated or damaged`,
      );
    }
    if (offset < end) {
      throw new FormatError(
        `${source.name}: tensor "${info.name}" at byte ${offset} overlaps ${previous}, which ends at ${end} - the file is damaged`,
      );
    }
    end = offset + info.bytes;
    previous = `tensor "${info.name}"`;
  }
}

/** The tensors of a file or folder by name, with lazy access to their rows. */
export class TensorTable {
  readonly infos: ReadonlyMap<string, TensorInfo>;
  readonly totalBytes: number;
  readonly #name: string;
  readonly #stored: ReadonlyMap<string, StoredTensor>;

  /** Throws FormatError on two tensors of one name. */
  constructor(name: string, tensors: readonly StoredTensor[]) {
    const stored = new Map<string, StoredTensor>();
    for (const tensor of tensors) {
      if (stored.has(tensor.info.name)) {
        throw new FormatError(`${name}: tensor "${tensor.info.name}" occurs twice - the file is damaged`);
      }
      stored.set(tensor.info.name, tensor);
    }
    this.#name = name;
    this.#stored = stored;
    this.infos = new Map(tensors.map(({ info }) => [info.name, info]));
    this.totalBytes = tensors.reduce((sum, { info }) => sum + info.bytes, 0);
  }

  /**
   * Reads rows [firstRow, firstRow + rowCount), outer dimensions flattened, in the tensor's own format.
   * FormatError when there is no such tensor or row, or the target is not exactly as long as the rows;
   * UnsupportedError when the tensor is of a kind skim only lists.
   */
  async readRows(tensor: string, firstRow: number, rowCount: number, target: Uint8Array): Promise<void> {
    const stored = this.#stored.get(tensor);
    if (stored === undefined)
      throw new FormatError(
        `${this.#name}: there is no tensor "${tensor}" - download or convert the model again`,
      );
    if (stored.refusal !== undefined) throw new UnsupportedError(`${this.#name}: ${stored.refusal}`);
    const { shape, format } = stored.info;
    const rows = elementCount(shape.slice(0, -1));
    if (firstRow < 0 || rowCount < 0 || firstRow + rowCount > rows) {
      throw new FormatError(
        `${this.#name}: tensor "${tensor}" has no rows ${firstRow} to ${firstRow + rowCount - 1}, expected a range inside its ${rows} rows`,
      );
    }
    const rowBytes = formatBytes(format, shape.at(-1) ?? 1);
    if (target.length !== rowCount * rowBytes) {
      throw new FormatError(
        `${this.#name}: ${rowCount} rows of tensor "${tensor}" need a target of ${rowCount * rowBytes} bytes, got ${target.length}`,
      );
    }
    await stored.source.readInto(stored.offset + firstRow * rowBytes, target);
  }
}
