/**
 * Element types of safetensors files. Those that hold weights or their integer codes map to weight
 * formats; the others are known by size, so that a file that also holds, say, position ids can be opened,
 * listed and checked. 4-bit codes have no dtype of their own: they are stored as U8 [rows, columns / 2],
 * named by INT4_METADATA_KEY.
 * Source: the safetensors format description (`Dtype` in the safetensors crate).
 */
import { UnsupportedError } from "../errors.ts";
import { bf16 } from "../quantization/bf16.ts";
import { f16 } from "../quantization/f16.ts";
import { f32 } from "../quantization/f32.ts";
import { i4 } from "../quantization/i4.ts";
import { i8 } from "../quantization/i8.ts";
import type { WeightFormat } from "../quantization/weight-format.ts";

/** Formats whose tensors can be read as weights or codes of weights. */
export const WEIGHT_DTYPES: ReadonlyMap<string, WeightFormat> = new Map(
  [f32, f16, bf16, i8].map((format) => [format.name, format]),
);

/** Key of `__metadata__` that lists, as a JSON array, the U8 tensors that hold two 4-bit codes per byte. */
export const INT4_METADATA_KEY = "skim.int4";

/** What a tensor is called in a header: its dtype and the shape counted in that dtype's elements. */
export function storedAs(
  format: WeightFormat,
  shape: readonly number[],
): { readonly dtype: string; readonly shape: readonly number[] } | undefined {
  if (format === i4) return { dtype: "U8", shape: [...shape.slice(0, -1), (shape.at(-1) ?? 0) / 2] };
  return WEIGHT_DTYPES.get(format.name) === format ? { dtype: format.name, shape } : undefined;
}

/** [elements, bytes] of the types that are listed but not read; the sub-byte ones pack several elements. */
const LISTED_DTYPES: Readonly<Record<string, readonly [elements: number, bytes: number]>> = {
  BOOL: [1, 1],
  U8: [1, 1],
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
 * Format of a dtype. For one that is only listed, `readable` is false and decoding throws
 * UnsupportedError; for an unknown one UnsupportedError is thrown at once, because its size cannot be
 * checked. `what` names the tensor.
 */
export function safetensorsFormat(dtype: string, what: string): { format: WeightFormat; readable: boolean } {
  const format = WEIGHT_DTYPES.get(dtype);
  if (format !== undefined) return { format, readable: true };
  const size = Object.hasOwn(LISTED_DTYPES, dtype) ? LISTED_DTYPES[dtype] : undefined;
  if (size === undefined) {
    throw new UnsupportedError(
      `${what}: dtype ${dtype.slice(0, 40)} is unknown, expected ${[...WEIGHT_DTYPES.keys()].join(", ")} - convert the checkpoint`,
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
