/**
 * Element types of safetensors files. The three that hold weights map to weight formats; the others are known by
 * size, so that a file that also holds, say, position ids can be opened, listed and checked.
 * Source: the safetensors format description (`Dtype` in the safetensors crate).
 */
import { UnsupportedError } from "../errors.ts";
import { bf16 } from "../quantization/bf16.ts";
import { f16 } from "../quantization/f16.ts";
import { f32 } from "../quantization/f32.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";

/** Formats whose tensors can be read as weights. */
export const WEIGHT_DTYPES: ReadonlyMap<string, WeightFormat> = new Map(
  [f32, f16, bf16].map((format) => [format.name, format]),
);

/** [elements, bytes] of the types that are listed but not read; the sub-byte ones pack several elements. */
const LISTED_DTYPES: Readonly<Record<string, readonly [elements: number, bytes: number]>> = {
  BOOL: [1, 1],
  U8: [1, 1],
  I8: [1, 1],
  U16: [1, 2],
  I16: [1, 2],
  U32: [1, 4],
  I32: [1, 4],
  U64: [1, 8],
  I64: [1, 8],
  F64: [1, 8],
  C64: [1, 8],
  F4: [2, 1],
  F6_E2M3: [4, 3],
  F6_E3M2: [4, 3],
  F8_E5M2: [1, 1],
  F8_E4M3: [1, 1],
  F8_E8M0: [1, 1],
};

/**
 * Format of a dtype. For one that is only listed, `readable` is false and decoding throws UnsupportedError; for an
 * unknown one UnsupportedError is thrown at once, because its size cannot be checked. `what` names the tensor.
 */
export function safetensorsFormat(dtype: string, what: string): { format: WeightFormat; readable: boolean } {
  const format = WEIGHT_DTYPES.get(dtype);
  if (format !== undefined) return { format, readable: true };
  const size = Object.hasOwn(LISTED_DTYPES, dtype) ? LISTED_DTYPES[dtype] : undefined;
  if (size === undefined) {
    throw new UnsupportedError(
      `${what}: dtype ${dtype.slice(0, 40)} is unknown, expected ${[...WEIGHT_DTYPES.keys()].join(", ")}`,
    );
  }
  return { format: listedFormat(dtype, size[0], size[1]), readable: false };
}

/** What to say when a tensor of a listed dtype is asked for. */
export function refusalOf(tensor: string, dtype: string): string {
  return `tensor "${tensor}" is ${dtype}, expected ${[...WEIGHT_DTYPES.keys()].join(", ")} - convert the checkpoint`;
}

function listedFormat(name: string, blockSize: number, blockBytes: number): WeightFormat {
  return {
    name,
    ggmlType: undefined,
    blockSize,
    blockBytes,
    source: "safetensors",
    decode() {
      throw new UnsupportedError(refusalOf("of this dtype", name));
    },
  };
}
