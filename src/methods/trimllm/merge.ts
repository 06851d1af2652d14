/**
 * Merging layers instead of only dropping them, for comparison (LaCo, Yang et al., arXiv 2402.11187): a layer l takes up what
 * distinguishes the layers that go from it, th_l + sum over k of (th_k - th_l), tensor by tensor.
 * Invariant: merging layers that are equal to l leaves the weights of l unchanged, bit for bit in f32.
 */
import { OptionError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { type ComputedTensor, overlayFile } from "../../formats/overlay-file.ts";
import { readDecodedRows } from "../../models/decoded-rows.ts";
import type { Program } from "../../program/program.ts";
import { weightsOf } from "../../program/dataflow.ts";
import { layerWeight } from "../../program/weight-names.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { listSublayers } from "./sublayers.ts";

/** `base` with the differences of `layers` added to layer `into`. OptionError when the layers do not hold the same tensors. */
export function mergeLayers(
  base: ModelFile,
  program: Program,
  layers: readonly number[],
  into: number,
): ModelFile {
  const own = tensorsOfLayer(base, program, into);
  const others = layers.map((layer) => tensorsOfLayer(base, program, layer));
  const computed = [...own].map(([key, tensor]): ComputedTensor => {
    const info = base.tensors.get(tensor);
    const merged = others.map((other) => other.get(key) ?? "");
    if (info === undefined) throw new Error(`merge: unknown tensor ${tensor}`);
    const columns = info.shape[info.shape.length - 1];
    return {
      name: tensor,
      shape: info.shape,
      // A sum of block-quantized weights fits no blocks.
      format: holdsSums(info.format) ? info.format : info.shape.length > 1 ? f16 : f32,
      values: async (firstRow, rowCount) => {
        const read = async (name: string) => {
          const source = base.tensors.get(name);
          if (source === undefined) throw new Error(`merge: unknown tensor ${name}`);
          const values = new Float32Array(rowCount * columns);
          await readDecodedRows(base, source, firstRow, rowCount, values);
          return values;
        };
        const kept = await read(tensor);
        const taken = await Promise.all(merged.map(read));
        return kept.map((value, i) => taken.reduce((sum, values) => sum + (values[i] - value), value));
      },
    };
  });
  return overlayFile(base, computed, base.recipes);
}

function holdsSums({ blockSize, encode }: WeightFormat): boolean {
  return blockSize === 1 && encode !== undefined;
}

/** Tensor of each weight of a layer, by the weight's name without the layer; fused tensors once. */
function tensorsOfLayer(base: ModelFile, program: Program, layer: number): Map<string, string> {
  const sublayers = listSublayers(program).filter((sublayer) => sublayer.layer === layer);
  const tensors = new Map<string, string>();
  for (const { first, last } of sublayers) {
    for (const { name, tensor } of program.ops.slice(first, last + 1).flatMap(weightsOf)) {
      const part = layerWeight(name)?.part ?? name;
      if (![...tensors.values()].includes(tensor)) tensors.set(part, tensor);
    }
  }
  if (sublayers.length !== 2) {
    throw new OptionError(
      `${base.name}: layer ${layer}, expected one with its attention and its MLP to merge`,
    );
  }
  return tensors;
}
