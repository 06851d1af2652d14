/** Texts that flags name: running text, or .jsonl with an example per line; and texts that commands write. */
import { readFile } from "node:fs/promises";
import { ResourceError } from "../errors.ts";
import { writeCompletely } from "../formats/tensor-source.ts";
import { createFileSink } from "../platform/node.ts";
import { decodeText } from "./standard-input.ts";

/**
 * ResourceError when the file cannot be read, FormatError when it is no UTF-8; `flag` is named in the advice.
 */
export async function readTextFlag(path: string, flag: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${path}: the text cannot be read (${error.code}) - check ${flag}`, {
      cause: error,
    });
  });
  return decodeText(bytes, path);
}

/** Whether the file's lines are examples rather than running text. */
export function holdsExamples(name: string): boolean {
  return name.endsWith(".jsonl");
}

/** The file appears complete or not at all. ResourceError when it cannot be written. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  const sink = await createFileSink(path);
  await writeCompletely(sink, () => sink.write(new TextEncoder().encode(text)));
}
