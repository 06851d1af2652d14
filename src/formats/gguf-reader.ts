/**
 * Reads the header of a GGUF file, version 2 or 3: metadata and tensor table, nothing of the weights.
 * Source: the GGUF specification (ggml repository, docs/gguf.md). Every count, length and offset is checked
 * against the limits in gguf-types.ts and against the size of the file before anything is allocated for it.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";
import { formatByGgmlType } from "../quantization/registry.ts";
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  GGUF_VALUE_BYTES,
  GGUF_VALUE_TYPES,
  type GgufScalarType,
  type GgufValueType,
  MAX_ALIGNMENT,
  MAX_ARRAY_DEPTH,
  MAX_ARRAY_ELEMENTS,
  MAX_DIMENSIONS,
  MAX_KEY_BYTES,
  MAX_METADATA_ENTRIES,
  MAX_STRING_BYTES,
  MAX_TENSOR_NAME_BYTES,
  MAX_TENSORS,
} from "./gguf-types.ts";
import { HeaderCursor } from "./header-cursor.ts";
import type { GgufValue } from "./model-file.ts";
import { checkTensorLayout, type StoredTensor, tensorByteSize } from "./tensor-layout.ts";

/** Least bytes of a metadata entry: key length, one-byte key, type, one-byte value. */
const MIN_ENTRY_BYTES = 14;

/**
 * Least bytes of a tensor entry: name length, one-byte name, dimension count, one dimension, type, offset.
 */
const MIN_TENSOR_BYTES = 33;

/** Numbers and booleans of one batch of an array: bounds the bytes that `fill` is asked for. */
const BATCH_ELEMENTS = 65536;

/** What a GGUF file says about itself. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly tensors: readonly StoredTensor[];
  readonly alignment: number;
  /** Absolute offset of the tensor data section. */
  readonly dataOffset: number;
}

/**
 * Parses the header; FormatError for damaged files,
 * UnsupportedError for versions and types skim does not read.
 */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source);
  await cursor.fill(24, "the GGUF header");
  if (cursor.takeUint32() !== GGUF_MAGIC)
    throw new FormatError(
      `${source.name}: not a GGUF file, expected it to start with "GGUF" - download it again or pass another file`,
    );
  const version = cursor.takeUint32();
  checkVersion(source.name, version);
  const tensorCount = cursor.takeCount();
  const entryCount = cursor.takeCount();
  checkCount(cursor, "metadata entries", entryCount, MAX_METADATA_ENTRIES, MIN_ENTRY_BYTES);
  checkCount(cursor, "tensors", tensorCount, MAX_TENSORS, MIN_TENSOR_BYTES);
  const metadata = await readMetadata(cursor, entryCount);
  const alignment = alignmentOf(source.name, metadata);
  const entries: TensorEntry[] = [];
  for (let i = 0; i < tensorCount; i++) entries.push(await readTensorEntry(cursor));
  const dataOffset = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = entries.map((entry) => placeTensor(source, entry, dataOffset, alignment));
  checkTensorLayout(source, tensors, dataOffset);
  return { version, metadata, tensors, alignment, dataOffset };
}

function checkVersion(name: string, version: number): void {
  if (version === 2 || version === 3) return;
  if ((version & 0xffff) === 0 && version !== 0) {
    throw new UnsupportedError(`${name}: big-endian GGUF is not supported - convert it to little-endian`);
  }
  throw new UnsupportedError(
    `${name}: GGUF version ${version} is not supported, expected 2 or 3 - convert the model again`,
  );
}

function checkCount(
  cursor: HeaderCursor,
  what: string,
  count: number,
  limit: number,
  minBytes: number,
): void {
  const most = Math.min(limit, Math.floor(cursor.remaining / minBytes));
  if (count <= most) return;
  throw new FormatError(
    `${cursor.source.name}: claims ${count} ${what}, expected at most ${most} in a file of ${cursor.source.size} bytes - the file is truncated or damaged`,
  );
}

async function readMetadata(cursor: HeaderCursor, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  const budget = { elements: MAX_ARRAY_ELEMENTS };
  for (let i = 0; i < count; i++) {
    const key = await readString(cursor, "a metadata key", MAX_KEY_BYTES);
    if (metadata.has(key)) {
      throw new FormatError(
        `${cursor.source.name}: metadata key "${key}" occurs twice - the file is damaged`,
      );
    }
    const what = `metadata "${key}"`;
    const type = await readValueType(cursor, what);
    metadata.set(
      key,
      type === "array" ? await readArray(cursor, what, 1, budget) : await readScalar(cursor, what, type),
    );
  }
  return metadata;
}

async function readValueType(cursor: HeaderCursor, what: string): Promise<GgufValueType> {
  await cursor.fill(4, what);
  const number = cursor.takeUint32();
  const type = GGUF_VALUE_TYPES[number];
  if (type === undefined) {
    throw new FormatError(
      `${cursor.source.name}: ${what} has value type ${number}, expected 0 to 12 - the file is damaged`,
    );
  }
  return type;
}

async function readString(cursor: HeaderCursor, what: string, limit: number): Promise<string> {
  if (cursor.buffered < 8) await cursor.fill(8, what);
  const bytes = cursor.takeCount();
  if (bytes > limit) {
    throw new FormatError(
      `${cursor.source.name}: ${what} claims ${bytes} bytes, expected at most ${limit} - the file is damaged`,
    );
  }
  if (cursor.buffered < bytes) await cursor.fill(bytes, what);
  return cursor.takeText(bytes, what);
}

async function readScalar(cursor: HeaderCursor, what: string, type: GgufScalarType): Promise<GgufValue> {
  if (type === "string") return readString(cursor, what, MAX_STRING_BYTES);
  await cursor.fill(GGUF_VALUE_BYTES[type], what);
  return takeNumber(cursor, what, type);
}

async function readArray(
  cursor: HeaderCursor,
  what: string,
  depth: number,
  budget: { elements: number },
): Promise<readonly GgufValue[]> {
  const type = await readValueType(cursor, what);
  await cursor.fill(8, what);
  const count = cursor.takeCount();
  checkCount(cursor, `elements in ${what}`, count, budget.elements, GGUF_VALUE_BYTES[type]);
  budget.elements -= count;
  const values: GgufValue[] = [];
  if (type === "array") {
    if (depth === MAX_ARRAY_DEPTH) {
      throw new FormatError(
        `${cursor.source.name}: ${what} is nested deeper than ${MAX_ARRAY_DEPTH} arrays - the file is damaged`,
      );
    }
    for (let i = 0; i < count; i++) values.push(await readArray(cursor, what, depth + 1, budget));
  } else if (type === "string") {
    // Hundreds of thousands of tokens: awaiting only where the window ends.
    for (let i = 0; i < count; i++) {
      values.push(cursor.takeBufferedString(what) ?? (await readString(cursor, what, MAX_STRING_BYTES)));
    }
  } else {
    for (let done = 0; done < count; ) {
      const batch = Math.min(count - done, BATCH_ELEMENTS);
      await cursor.fill(batch * GGUF_VALUE_BYTES[type], what);
      for (let i = 0; i < batch; i++) values.push(takeNumber(cursor, what, type));
      done += batch;
    }
  }
  return values;
}

function takeNumber(cursor: HeaderCursor, what: string, type: Exclude<GgufScalarType, "string">): GgufValue {
  switch (type) {
    case "uint8":
      return cursor.takeUint8();
    case "int8":
      return cursor.takeInt8();
    case "uint16":
      return cursor.takeUint16();
    case "int16":
      return cursor.takeInt16();
    case "uint32":
      return cursor.takeUint32();
    case "int32":
      return cursor.takeInt32();
    case "float32":
      return cursor.takeFloat32();
    case "float64":
      return cursor.takeFloat64();
    case "uint64":
      return exactNumber(cursor.takeUint64());
    case "int64":
      return exactNumber(cursor.takeInt64());
    case "bool": {
      const byte = cursor.takeUint8();
      if (byte <= 1) return byte === 1;
      throw new FormatError(
        `${cursor.source.name}: ${what} is the boolean ${byte}, expected 0 or 1 - the file is damaged`,
      );
    }
  }
}

/** The integer as a number where that is exact, as the bigint itself otherwise. */
function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function alignmentOf(name: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (
    typeof value === "number" &&
    value >= 1 &&
    value <= MAX_ALIGNMENT &&
    Number.isInteger(Math.log2(value))
  ) {
    return value;
  }
  throw new FormatError(
    `${name}: general.alignment is ${String(value).slice(0, 40)}, expected a power of two up to ${MAX_ALIGNMENT} - the file is damaged`,
  );
}

interface TensorEntry {
  readonly name: string;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly type: number;
  /** Relative to the data section. */
  readonly offset: number;
}

async function readTensorEntry(cursor: HeaderCursor): Promise<TensorEntry> {
  const name = await readString(cursor, "a tensor name", MAX_TENSOR_NAME_BYTES);
  const what = `tensor "${name}"`;
  await cursor.fill(4, what);
  const dimensions = cursor.takeUint32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw new FormatError(
      `${cursor.source.name}: ${what} has ${dimensions} dimensions, expected 1 to ${MAX_DIMENSIONS} - the file is damaged`,
    );
  }
  await cursor.fill(dimensions * 8 + 12, what);
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) shape.push(cursor.takeCount());
  if (shape.some((dimension) => dimension === 0 || dimension > Number.MAX_SAFE_INTEGER)) {
    throw new FormatError(
      `${cursor.source.name}: ${what} has dimensions [${shape.join(", ")}], expected positive ones - the file is damaged`,
    );
  }
  // GGUF stores the innermost dimension first.
  return { name, shape: shape.reverse(), type: cursor.takeUint32(), offset: cursor.takeCount() };
}

function placeTensor(
  source: ByteSource,
  entry: TensorEntry,
  dataOffset: number,
  alignment: number,
): StoredTensor {
  const what = `${source.name}: tensor "${entry.name}"`;
  if (entry.offset % alignment !== 0 || entry.offset > Number.MAX_SAFE_INTEGER) {
    throw new FormatError(
      `${what} has offset ${entry.offset}, expected a multiple of ${alignment} - the file is damaged`,
    );
  }
  const format = formatByGgmlType(entry.type, what);
  const bytes = tensorByteSize(what, entry.shape, format);
  const info = { name: entry.name, shape: entry.shape, format, bytes };
  return { info, source, offset: dataOffset + entry.offset };
}
