/** Reads a text that a flag names. */
import { readFile } from "node:fs/promises";
import { ResourceError } from "../errors.ts";
import { decodeText } from "./standard-input.ts";

/** ResourceError when the file cannot be read or is no UTF-8; `flag` is named in the advice. */
export async function readTextFlag(path: string, flag: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new ResourceError(`${path}: the text cannot be read (${error.code}) - check ${flag}`, {
      cause: error,
    });
  });
  return decodeText(bytes, path);
}
