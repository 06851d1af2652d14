/**
 * Reads rows of a tensor or a weight and decodes them to f32, whatever format they are stored in.
 */
import { FormatError } from "../errors.ts";
import type { ModelFile, TensorInfo } from "../formats/model-file.ts";
import type { Weight } from "../program/program.ts";
import { formatBytes } from "../quantization/weight-format.ts";

/**
 * Decodes rows [firstRow, firstRow + rowCount) into `values` (f32 [rowCount, columns]); a row is the tensor's
 * innermost dimension. Throws FormatError or ResourceError as `readRows` does.
 */
export async function readDecodedRows(
  file: ModelFile,
  tensor: TensorInfo,
  firstRow: number,
  rowCount: number,
  values: Float32Array,
): Promise<void> {
  const columns = tensor.shape[tensor.shape.length - 1];
  const bytes = new Uint8Array(formatBytes(tensor.format, rowCount * columns));
  await file.readRows(tensor.name, firstRow, rowCount, bytes);
  tensor.format.decode(bytes, values);
}

/** The tensor that a program's weight is rows of. FormatError when the program is of another file. */
export function storedTensor(file: ModelFile, { tensor }: Weight): TensorInfo {
  const info = file.tensors.get(tensor);
  if (info !== undefined) return info;
  throw new FormatError(
    `${file.name}: tensor ${tensor}, expected in the file, got no such tensor - download or convert the model again`,
  );
}

/**
 * Rows [firstRow, firstRow + rowCount) of a program's weight as f32 [rowCount, columns].
 * Errors as readDecodedRows.
 */
export async function readWeightRows(
  file: ModelFile,
  weight: Weight,
  firstRow: number,
  rowCount: number,
): Promise<Float32Array> {
  const values = new Float32Array(rowCount * weight.columns);
  await readDecodedRows(file, storedTensor(file, weight), weight.firstRow + firstRow, rowCount, values);
  return values;
}
