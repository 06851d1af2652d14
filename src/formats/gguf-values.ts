/**
 * Typed metadata values for writing GGUF. Reading drops the integer width because nobody needs it; writing
 * has to name it, because llama.cpp asks for exact types.
 * Source: the GGUF specification, `gguf_metadata_value_type`.
 */
import type { GgufScalarType } from "./gguf-types.ts";

/** One value with the type it is stored as. 64-bit integers may be numbers or bigints. */
export type GgufField =
  | { readonly type: GgufScalarType; readonly value: string | number | bigint | boolean }
  | {
      readonly type: "array";
      readonly elementType: GgufScalarType;
      readonly values: readonly (string | number | bigint | boolean)[];
    };

/** A string. */
export function stringField(value: string): GgufField {
  return { type: "string", value };
}

/** A 32-bit unsigned integer, the type of nearly all counts. */
export function uint32Field(value: number): GgufField {
  return { type: "uint32", value };
}

/** A 32-bit float. */
export function float32Field(value: number): GgufField {
  return { type: "float32", value };
}

/** A boolean. */
export function boolField(value: boolean): GgufField {
  return { type: "bool", value };
}

/** An array of one scalar type. */
export function arrayField(
  elementType: GgufScalarType,
  values: readonly (string | number | bigint | boolean)[],
): GgufField {
  return { type: "array", elementType, values };
}
