/**
 * Constants of the GGUF container shared by reader and writer,
 * and the limits the reader sets on hostile input.
 * Source: the GGUF specification (ggml repository, docs/gguf.md).
 * Invariant: whatever a file claims, the reader allocates in proportion to the bytes the file really has.
 */

/** "GGUF" as the first four bytes. */
export const GGUF_MAGIC = 0x46554747;

/** Alignment of tensor data where `general.alignment` is absent. */
export const DEFAULT_ALIGNMENT = 32;

/** Largest plausible `general.alignment`; a memory page is 4 KiB to 2 MiB. */
export const MAX_ALIGNMENT = 1 << 21;

/** Real files have 20 to 60 entries; the limit bounds the work a damaged count can cause. */
export const MAX_METADATA_ENTRIES = 1 << 16;

/** The largest published models have some thousands of tensors. */
export const MAX_TENSORS = 1 << 18;

/** Longest metadata key in bytes, as the specification states. */
export const MAX_KEY_BYTES = 65535;

/** ggml holds 63 bytes; other writers are more generous. */
export const MAX_TENSOR_NAME_BYTES = 1024;

/** Longest string value: chat templates take tens of KB, an embedded tokenizer.json up to some 30 MB. */
export const MAX_STRING_BYTES = 1 << 26;

/**
 * All elements of all arrays: the largest vocabularies have
 * 262,144 tokens and three arrays as long, plus merges.
 */
export const MAX_ARRAY_ELEMENTS = 1 << 24;

/** Arrays of arrays of arrays of arrays are not seen in real files; recursion has to end somewhere. */
export const MAX_ARRAY_DEPTH = 4;

/** GGML_MAX_DIMS. */
export const MAX_DIMENSIONS = 4;

/** Metadata value types by their number in the file (`gguf_metadata_value_type`). */
export const GGUF_VALUE_TYPES = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;

export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];
export type GgufScalarType = Exclude<GgufValueType, "array">;

/**
 * Least bytes a value of each type takes in the file: exact for numbers, the length fields for the other two.
 */
export const GGUF_VALUE_BYTES: Readonly<Record<GgufValueType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};
