/** Small models for tests of trimming: checkpoints in memory, some of whose sublayers do nothing, written and reopened. */
import { writeModelFolder } from "../src/formats/folder-writer.ts";
import { openFolder } from "../src/formats/huggingface-folder.ts";
import type { ModelFile } from "../src/formats/model-file.ts";
import { overlayFile, type ComputedTensor } from "../src/formats/overlay-file.ts";
import type { SublayerId } from "../src/methods/trimllm/recipe.ts";
import { isSame, listSublayers } from "../src/methods/trimllm/sublayers.ts";
import { collectFiles, memoryFolder } from "../src/platform/memory.ts";
import type { Program } from "../src/program/program.ts";
import { f32 } from "../src/quantization/f32.ts";

/** The checkpoint with output projection and its bias zero in the given sublayers, so that they add nothing. */
export function silence(file: ModelFile, program: Program, silent: readonly SublayerId[]): ModelFile {
  const zeros = listSublayers(program)
    .filter((sublayer) => silent.some((id) => isSame(id, sublayer)))
    .flatMap(({ first, last }) => {
      const op = program.ops.slice(first, last).findLast(({ kind }) => kind === "linear");
      if (op?.kind !== "linear") throw new Error("a sublayer without an output projection");
      return op.bias === undefined ? [op.weight.tensor] : [op.weight.tensor, op.bias.tensor];
    });
  const tensors = zeros.map((name): ComputedTensor => {
    const shape = file.tensors.get(name)?.shape ?? [];
    const columns = shape.at(-1) ?? 1;
    return { name, shape, format: f32, values: (_, rowCount) => new Float32Array(rowCount * columns) };
  });
  return overlayFile(file, tensors, file.recipes);
}

/** The checkpoint written as a folder in memory and opened again, and the size of its weights file. */
export async function throughFolder(file: ModelFile): Promise<{ file: ModelFile; weightFileBytes: number }> {
  const files = await collectFiles((open) => writeModelFolder(file, open));
  return {
    file: await openFolder(memoryFolder("trimmed", files)),
    weightFileBytes: files.get("model.safetensors")?.length ?? 0,
  };
}
