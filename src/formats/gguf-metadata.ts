/**
 * GGUF metadata back to typed fields. Reading drops integer widths, so a copy states the narrowest type that
 * holds each value: every reader of such keys (skim's among them) takes any width.
 * Source: the GGUF specification, `gguf_metadata_value_type`.
 */
import { UnsupportedError } from "../errors.ts";
import type { GgufScalarType } from "./gguf-types.ts";
import type { GgufField } from "./gguf-values.ts";
import type { GgufValue } from "./model-file.ts";

/** The writer always uses its own alignment. */
const ALIGNMENT_KEY = "general.alignment";

/** Metadata of an opened file as the writer takes it. UnsupportedError for arrays of arrays. */
export function typedMetadata(metadata: ReadonlyMap<string, GgufValue>): Map<string, GgufField> {
  const fields = [...metadata]
    .filter(([key]) => key !== ALIGNMENT_KEY)
    .map(([key, value]): [string, GgufField] => [key, typedField(key, value)]);
  return new Map(fields);
}

type Scalar = string | number | bigint | boolean;

function typedField(key: string, value: GgufValue): GgufField {
  if (!isArray(value)) return { type: scalarType([value]), value };
  if (value.some(isArray)) {
    throw new UnsupportedError(
      `metadata ${key}: is an array of arrays, expected scalars or arrays of them - convert the model again`,
    );
  }
  const values = value.filter((element): element is Scalar => !isArray(element));
  return { type: "array", elementType: scalarType(values), values };
}

function isArray(value: GgufValue): value is readonly GgufValue[] {
  return Array.isArray(value);
}

/** One type for all of `values`. */
function scalarType(values: readonly Scalar[]): GgufScalarType {
  const [first] = values;
  if (typeof first === "string") return "string";
  if (typeof first === "boolean") return "bool";
  const within = (low: bigint, high: bigint) =>
    values.every(
      (value) =>
        (typeof value === "bigint" || Number.isSafeInteger(value)) &&
        BigInt(value) >= low &&
        BigInt(value) <= high,
    );
  if (within(0n, 0xffffffffn)) return "uint32";
  if (within(-0x80000000n, 0x7fffffffn)) return "int32";
  if (within(0n, 0xffffffffffffffffn)) return "uint64";
  if (within(-0x8000000000000000n, 0x7fffffffffffffffn)) return "int64";
  const numbers = values.map(Number);
  return numbers.every((value) => Math.fround(value) === value) ? "float32" : "float64";
}
