/** Tensors that a recipe promises, looked up in the checkpoint. */
import { FormatError } from "../../errors.ts";
import type { TensorInfo } from "../../formats/model-file.ts";
import type { Weight } from "../../program/program.ts";

export type TensorTable = ReadonlyMap<string, TensorInfo>;

/** A vector of exactly `length` values; `path` names the place in the recipe that wants it. */
export function expectVector(tensor: string, length: number, tensors: TensorTable, path: string): Weight {
  const info = tensors.get(tensor);
  if (info === undefined || info.shape.length !== 1 || info.shape[0] !== length) {
    const got = info === undefined ? "no such tensor" : `[${info.shape.join(", ")}]`;
    throw new FormatError(
      `${path}: tensor ${tensor}, expected shape [${length}], got ${got} - the checkpoint is incomplete or damaged`,
    );
  }
  return { name: tensor, rows: 1, columns: length, tensor, firstRow: 0 };
}
