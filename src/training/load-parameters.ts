/**
 * Moves a checkpoint's weights into a training executor as f32, whatever format they are stored in.
 */
import { FormatError } from "../errors.ts";
import type { TrainingExecutor } from "../executors/training/training-executor.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { elementCount } from "../formats/tensor-layout.ts";
import { readDecodedRows } from "../models/decoded-rows.ts";

/** Throws FormatError when a tensor is missing or the program uses only part of it. */
export async function loadParameters(file: ModelFile, executor: TrainingExecutor): Promise<void> {
  for (const { tensor, size } of executor.program.parameters) {
    const info = file.tensors.get(tensor);
    const count = info && elementCount(info.shape);
    if (info === undefined || count !== size) {
      throw new FormatError(
        `${file.name}: tensor ${tensor}, expected ${size} values, got ${count ?? "no such tensor"} - the file is damaged or not a supported model`,
      );
    }
    const values = new Float32Array(size);
    await readDecodedRows(file, info, 0, size / info.shape[info.shape.length - 1], values);
    executor.write(tensor, "weights", values);
  }
}
