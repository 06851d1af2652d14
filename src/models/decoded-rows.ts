/**
 * Reads rows of a tensor or a weight and decodes them to f32, whatever format they are stored in.
 */
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

/** Rows [firstRow, firstRow + rowCount) of a program's weight as f32 [rowCount, columns]. Errors as readDecodedRows. */
export async function readWeightRows(
  file: ModelFile,
  weight: Weight,
  firstRow: number,
  rowCount: number,
): Promise<Float32Array> {
  const info = file.tensors.get(weight.tensor);
  if (info === undefined) throw new Error(`weight: program names unknown tensor ${weight.tensor}`);
  const values = new Float32Array(rowCount * weight.columns);
  await readDecodedRows(file, info, weight.firstRow + firstRow, rowCount, values);
  return values;
}
