/**
 * Writes GGUF version 3: metadata and tensor table first, then the tensors one by one from their sources.
 * Source: the GGUF specification (ggml repository, docs/gguf.md). Invariant: what this writes, readGgufHeader
 * reads back equal; tensors lie in the given order, each padded to the alignment, as llama.cpp demands.
 */
import { FormatError } from "../errors.ts";
import type { ByteSink } from "../platform/types.ts";
import { ByteBuilder } from "./byte-builder.ts";
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  GGUF_VALUE_TYPES,
  type GgufScalarType,
  MAX_DIMENSIONS,
} from "./gguf-types.ts";
import type { GgufField } from "./gguf-values.ts";
import { tensorByteSize } from "./tensor-layout.ts";
import { checkUniqueNames, type TensorSource, writeCompletely, writeTensorData } from "./tensor-source.ts";

/** Inclusive ranges of the integer types. */
const INTEGER_RANGES: Readonly<Partial<Record<GgufScalarType, readonly [bigint, bigint]>>> = {
  uint8: [0n, 0xffn],
  int8: [-0x80n, 0x7fn],
  uint16: [0n, 0xffffn],
  int16: [-0x8000n, 0x7fffn],
  uint32: [0n, 0xffffffffn],
  int32: [-0x80000000n, 0x7fffffffn],
  uint64: [0n, 0xffffffffffffffffn],
  int64: [-0x8000000000000000n, 0x7fffffffffffffffn],
};

/**
 * Writes a whole file and finishes the sink, or aborts it and throws: FormatError when a value does not fit
 * its type, a shape does not fit its format or data has the wrong length.
 */
export async function writeGguf(
  sink: ByteSink,
  metadata: ReadonlyMap<string, GgufField>,
  tensors: readonly TensorSource[],
): Promise<void> {
  await writeCompletely(sink, async () => {
    checkUniqueNames(sink.name, tensors);
    const sizes = tensors.map((tensor) => checkedSize(sink.name, tensor));
    await sink.write(buildHeader(sink.name, metadata, tensors, sizes));
    for (const [i, tensor] of tensors.entries()) {
      await writeTensorData(sink, tensor, sizes[i]);
      await sink.write(new Uint8Array(padded(sizes[i]) - sizes[i]));
    }
  });
}

function padded(bytes: number): number {
  return Math.ceil(bytes / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
}

function checkedSize(name: string, tensor: TensorSource): number {
  const what = `${name}: tensor "${tensor.name}"`;
  const { shape, format } = tensor;
  if (
    shape.length < 1 ||
    shape.length > MAX_DIMENSIONS ||
    shape.some((size) => !Number.isSafeInteger(size) || size < 1)
  ) {
    throw new FormatError(
      `${what} has shape [${shape.join(", ")}], expected 1 to ${MAX_DIMENSIONS} positive dimensions - write it in another shape`,
    );
  }
  if (format.ggmlType === undefined)
    throw new FormatError(
      `${what}: GGUF cannot hold ${format.name} - write a safetensors file or convert the tensor first`,
    );
  return tensorByteSize(what, shape, format);
}

function buildHeader(
  name: string,
  metadata: ReadonlyMap<string, GgufField>,
  tensors: readonly TensorSource[],
  sizes: readonly number[],
): Uint8Array {
  if (metadata.has("general.alignment")) {
    throw new FormatError(
      `${name}: general.alignment must be left out, it is always ${DEFAULT_ALIGNMENT} here - remove it`,
    );
  }
  const out = new ByteBuilder();
  out.putUint32(GGUF_MAGIC);
  out.putUint32(3);
  out.putUint64(tensors.length);
  out.putUint64(metadata.size);
  for (const [key, field] of metadata) {
    out.putString(key);
    putField(out, `${name}: metadata "${key}"`, field);
  }
  let offset = 0;
  for (const [i, { name: tensorName, shape, format }] of tensors.entries()) {
    out.putString(tensorName);
    out.putUint32(shape.length);
    for (const dimension of [...shape].reverse()) out.putUint64(dimension);
    out.putUint32(format.ggmlType as number);
    out.putUint64(offset);
    offset += padded(sizes[i]);
  }
  out.align(DEFAULT_ALIGNMENT);
  return out.bytes();
}

function putField(out: ByteBuilder, what: string, field: GgufField): void {
  out.putUint32(GGUF_VALUE_TYPES.indexOf(field.type));
  if (field.type !== "array") {
    putScalar(out, what, field.type, field.value);
    return;
  }
  out.putUint32(GGUF_VALUE_TYPES.indexOf(field.elementType));
  out.putUint64(field.values.length);
  for (const value of field.values) putScalar(out, what, field.elementType, value);
}

function putScalar(out: ByteBuilder, what: string, type: GgufScalarType, value: unknown): void {
  if (type === "string" && typeof value === "string") out.putString(value);
  else if (type === "bool" && typeof value === "boolean") out.putUint8(value ? 1 : 0);
  else if (type === "float32" && typeof value === "number") out.putFloat32(value);
  else if (type === "float64" && typeof value === "number") out.putFloat64(value);
  else if (isInteger(type, value)) putInteger(out, type, value);
  else
    throw new FormatError(
      `${what}: cannot be ${type}, got ${typeof value} ${String(value).slice(0, 40)} - correct the type or the value`,
    );
}

function isInteger(type: GgufScalarType, value: unknown): value is number | bigint {
  const range = INTEGER_RANGES[type];
  if (range === undefined) return false;
  if (typeof value !== "bigint" && !(typeof value === "number" && Number.isSafeInteger(value))) return false;
  return value >= range[0] && value <= range[1];
}

/** Two's complement makes signed and unsigned integers of one width the same bytes. */
function putInteger(out: ByteBuilder, type: GgufScalarType, value: number | bigint): void {
  if (type.endsWith("64")) out.putUint64(value);
  else if (type.endsWith("32")) out.putUint32(Number(value));
  else if (type.endsWith("16")) out.putUint16(Number(value));
  else out.putUint8(Number(value));
}
