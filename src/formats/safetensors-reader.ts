/**
 * Reads the header of a safetensors file: u64 length, JSON header, tensor bytes.
 * Source: the safetensors format description (huggingface/safetensors README, "Format"). Invariant, as there:
 * tensors cover the byte buffer exactly, without holes, overlaps or bytes behind the last one.
 */
import { z } from "zod";
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../platform/types.ts";
import { checkSchema, decodeUtf8, parseJsonObject } from "./json-file.ts";
import { i4 } from "../quantization/i4.ts";
import { INT4_METADATA_KEY, refusalOf, safetensorsFormat } from "./safetensors-dtypes.ts";
import { type StoredTensor, tensorByteSize } from "./tensor-layout.ts";
import { topLevelKeys } from "./top-level-keys.ts";

/** The limit the format itself sets. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Real tensors have at most 5 dimensions. */
const MAX_DIMENSIONS = 8;

const METADATA_KEY = "__metadata__";
const metadataSchema = z.record(z.string(), z.string());
const int4Schema = z.array(z.string());
const dimension = z.number().int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(dimension).max(MAX_DIMENSIONS),
  data_offsets: z.tuple([dimension, dimension]),
});

/** What a safetensors file says about itself. */
export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly tensors: readonly StoredTensor[];
  /** The free-form `__metadata__` strings. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Parses and checks the header; FormatError for damaged files, UnsupportedError for dtypes of unknown size.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const headerBytes = await readHeaderLength(source);
  const bytes = new Uint8Array(headerBytes);
  await source.readInto(8, bytes);
  const text = decodeUtf8(`${source.name}: header`, bytes);
  if (!text.startsWith("{"))
    throw new FormatError(`${source.name}: header does not start with "{" - this is not safetensors`);
  const header = parseJsonObject(`${source.name}: header`, text);
  checkUniqueKeys(source.name, text);
  const tensors = Object.entries(header)
    .filter(([key]) => key !== METADATA_KEY)
    .map(([name, entry]) => parseEntry(source, name, entry, 8 + headerBytes))
    .sort((a, b) => a.offset - b.offset || a.info.bytes - b.info.bytes);
  checkCoverage(source, tensors, 8 + headerBytes);
  const metadata = Object.hasOwn(header, METADATA_KEY)
    ? checkSchema(`${source.name}: ${METADATA_KEY}`, metadataSchema, header[METADATA_KEY])
    : {};
  return { tensors: nameInt4(source.name, tensors, metadata[INT4_METADATA_KEY]), metadata };
}

/**
 * Tensors that the metadata calls 4-bit codes get that format and their logical shape;
 * the bytes stay where they are.
 */
function nameInt4(
  name: string,
  tensors: readonly StoredTensor[],
  list: string | undefined,
): readonly StoredTensor[] {
  if (list === undefined) return tensors;
  const names = new Set(checkSchema(`${name}: ${INT4_METADATA_KEY}`, int4Schema, parseJson(name, list)));
  const known = new Set(tensors.map(({ info }) => info.name));
  const stray = [...names].find((candidate) => !known.has(candidate));
  if (stray !== undefined) {
    throw new FormatError(
      `${name}: ${INT4_METADATA_KEY} names "${stray}", which is not in the file - write the file again`,
    );
  }
  return tensors.map((tensor) => {
    const { info, source, offset } = tensor;
    if (!names.has(info.name)) return tensor;
    if (info.format.name !== "U8" || info.shape.length === 0) {
      throw new FormatError(
        `${name}: tensor "${info.name}" is ${info.format.name}, expected U8 as ${INT4_METADATA_KEY} names it - the file is damaged`,
      );
    }
    const shape = [...info.shape.slice(0, -1), 2 * (info.shape.at(-1) ?? 0)];
    return { info: { ...info, shape, format: i4 }, source, offset };
  });
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${name}: ${INT4_METADATA_KEY} is not JSON - the file is damaged`, {
      cause: error,
    });
  }
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  if (source.size < 8) {
    throw new FormatError(
      `${source.name}: has ${source.size} bytes, expected at least 8 - the file is truncated`,
    );
  }
  const prefix = new Uint8Array(8);
  await source.readInto(0, prefix);
  const view = new DataView(prefix.buffer);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  const most = Math.min(MAX_HEADER_BYTES, source.size - 8);
  if (length <= most) return length;
  throw new FormatError(
    `${source.name}: claims a header of ${length} bytes, expected at most ${most} - the file is truncated or damaged`,
  );
}

/** JSON.parse keeps the last of several equal keys; a file that needs that is damaged. */
function checkUniqueKeys(name: string, text: string): void {
  const seen = new Set<string>();
  for (const key of topLevelKeys(text)) {
    if (seen.has(key)) throw new FormatError(`${name}: tensor "${key}" occurs twice - the file is damaged`);
    seen.add(key);
  }
}

function parseEntry(source: ByteSource, name: string, entry: unknown, dataOffset: number): StoredTensor {
  const what = `${source.name}: tensor "${name}"`;
  const { dtype, shape, data_offsets } = checkSchema(what, entrySchema, entry);
  const { format, readable } = safetensorsFormat(dtype, what);
  const bytes = tensorByteSize(what, shape, format);
  const [begin, end] = data_offsets;
  if (end - begin !== bytes) {
    throw new FormatError(
      `${what}: data_offsets [${begin}, ${end}] span ${end - begin} bytes, expected ${bytes} for ${dtype} [${shape.join(", ")}] - the file is damaged`,
    );
  }
  const stored = { info: { name, shape, format, bytes }, source, offset: dataOffset + begin };
  return readable ? stored : { ...stored, refusal: refusalOf(name, dtype) };
}

function checkCoverage(source: ByteSource, sorted: readonly StoredTensor[], dataOffset: number): void {
  let end = dataOffset;
  for (const { info, offset } of sorted) {
    if (offset !== end) {
      throw new FormatError(
        `${source.name}: tensor "${info.name}" begins at byte ${offset - dataOffset}, expected ${end - dataOffset}, where the one before ends - the file is damaged`,
      );
    }
    end = offset + info.bytes;
  }
  if (end !== source.size) {
    throw new FormatError(
      `${source.name}: tensors end at byte ${end}, expected ${source.size} (the file size) - the file is truncated or damaged`,
    );
  }
}
