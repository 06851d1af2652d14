/**
 * Small text and JSON files beside a model, read and written whole. What is read is still untrusted: JSON is
 * checked to be an object here and by a schema wherever a field is used.
 * Invariant: a file is refused by its size before memory is allocated for it.
 */
import type { z } from "zod";
import { FormatError } from "../errors.ts";
import type { ByteSink, ByteSource } from "../platform/types.ts";
import type { JsonObject } from "./model-file.ts";
import { writeCompletely } from "./tensor-source.ts";

/** Whether a parsed JSON value is an object: neither null nor a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads a UTF-8 file of at most `limit` bytes; FormatError when it is larger or not UTF-8. */
export async function readTextFile(source: ByteSource, limit: number): Promise<string> {
  if (source.size > limit) {
    throw new FormatError(
      `${source.name}: has ${source.size} bytes, expected at most ${limit} - is it the right file?`,
    );
  }
  const bytes = new Uint8Array(source.size);
  await source.readInto(0, bytes);
  return decodeUtf8(source.name, bytes);
}

/** Writes a whole UTF-8 file; when anything fails nothing is left behind. */
export async function writeTextFile(sink: ByteSink, text: string): Promise<void> {
  await writeCompletely(sink, () => sink.write(new TextEncoder().encode(text)));
}

/** Reads a JSON object from a file of at most `limit` bytes; FormatError when it is anything else. */
export async function readJsonFile(source: ByteSource, limit: number): Promise<JsonObject> {
  return parseJsonObject(source.name, await readTextFile(source, limit));
}

/** Text of UTF-8 bytes, FormatError when they are not UTF-8. */
export function decodeUtf8(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${name}: is not valid UTF-8 - the file is damaged`, { cause });
  }
}

/** The JSON object in `text`, FormatError when it is anything else. */
export function parseJsonObject(name: string, text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : String(cause);
    throw new FormatError(
      `${name}: is not valid JSON (${problem.slice(0, 120)}) - correct the file or download it again`,
      { cause },
    );
  }
  if (isJsonObject(value)) return value;
  const got = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
  throw new FormatError(`${name}: expected a JSON object, got ${got} - download or write the file again`);
}

/** Applies a schema; FormatError naming the first field that is wrong. */
export function checkSchema<T>(name: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue.path.length === 0 ? "" : `field "${issue.path.map(String).join(".").slice(0, 80)}": `;
  throw new FormatError(`${name}: ${field}${issue.message} - correct the file`);
}
