/**
 * Shows codes and group scales as what they are, weights in 4-bit blocks: a group of 32, 64 or 128 inputs is one, two or
 * four Q4_0 blocks with the same scale, exactly. Programs and executors need not know of the recipe.
 * Invariant: block bytes are composed, never decoded and encoded again.
 */
import { FormatError } from "../../errors.ts";
import type { ModelFile, TensorInfo } from "../../formats/model-file.ts";
import { elementCount } from "../../formats/tensor-layout.ts";
import { formatBytes } from "../../quantization/weight-format.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { groupScaleTensor, type InputGroupsRecipe } from "./recipe.ts";

const BLOCK = 32;
const BLOCK_BYTES = 18;

/** `file` with the recipe's tensors in Q4_0. FormatError when codes and scales do not belong together. */
export function explainInputGroups(file: ModelFile, recipe: InputGroupsRecipe): ModelFile {
  const tensors = new Map(file.tensors);
  for (const name of recipe.tensors) {
    const [codes, scales] = [file.tensors.get(name), file.tensors.get(groupScaleTensor(name))];
    checkPair(file.name, name, codes, scales, recipe.size);
    if (codes === undefined || scales === undefined) continue; // refused above
    const count = elementCount(codes.shape);
    tensors.set(name, { name, shape: codes.shape, format: q4_0, bytes: formatBytes(q4_0, count) });
    tensors.delete(scales.name);
  }
  const covered = new Set(recipe.tensors);
  return {
    ...file,
    tensors,
    async readRows(name, firstRow, rowCount, target) {
      if (!covered.has(name)) return file.readRows(name, firstRow, rowCount, target);
      const columns = tensors.get(name)?.shape.at(-1) ?? 0;
      const codes = new Uint8Array((rowCount * columns) / 2);
      const scales = new Uint8Array((rowCount * columns * 2) / recipe.size);
      await file.readRows(name, firstRow, rowCount, codes);
      await file.readRows(groupScaleTensor(name), firstRow, rowCount, scales);
      const blocks = new Uint8Array(target.length);
      composeBlocks(codes, scales, recipe.size, blocks);
      target.set(blocks);
    },
    close: () => file.close(),
  };
}

function checkPair(
  source: string,
  name: string,
  codes: TensorInfo | undefined,
  scales: TensorInfo | undefined,
  size: number,
): void {
  const expected = codes === undefined ? [] : [...codes.shape.slice(0, -1), (codes.shape.at(-1) ?? 0) / size];
  const fits = scales?.format.name === "F16" && JSON.stringify(scales.shape) === JSON.stringify(expected);
  if (codes?.format.name !== "I4" || !fits) {
    throw new FormatError(
      `${source}: recipe inputGroups: tensor ${name}, expected 4-bit codes (I4) and F16 scales [${expected.join(", ")}], got ${codes?.format.name ?? "no codes"} and ${scales === undefined ? "no scales" : `${scales.format.name} [${scales.shape.join(", ")}]`} - the checkpoint is damaged`,
    );
  }
}

/** Q4_0 holds d, then 16 bytes whose low nibbles are weights 0..15 and whose high ones 16..31, offset by 8. */
function composeBlocks(codes: Uint8Array, scales: Uint8Array, size: number, target: Uint8Array): void {
  const nibble = (index: number) => ((codes[index >> 1] >> (4 * (index & 1))) & 15) ^ 8;
  for (let block = 0; block * BLOCK < codes.length * 2; block++) {
    const at = block * BLOCK_BYTES;
    const group = Math.floor((block * BLOCK) / size);
    target[at] = scales[2 * group];
    target[at + 1] = scales[2 * group + 1];
    for (let j = 0; j < BLOCK / 2; j++) {
      const first = block * BLOCK + j;
      target[at + 2 + j] = nibble(first) | (nibble(first + BLOCK / 2) << 4);
    }
  }
}
