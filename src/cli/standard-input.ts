/** Text piped into a command. */
import { FormatError } from "../errors.ts";
import { UsageError } from "./failure.ts";
import { printNote, type Terminal } from "./terminal.ts";

/** A pipe that stays silent this long may have been left open by mistake; say what is being waited for. */
const SILENCE_MS = 2000;

/** All of stdin as UTF-8. Throws UsageError when it is a terminal, FormatError when it is not UTF-8. */
export async function readStandardInput(terminal: Terminal, purpose: string): Promise<string> {
  if (terminal.stdin.isTTY === true) {
    throw new UsageError(`stdin: nothing is piped in, expected ${purpose}`);
  }
  const waiting = setTimeout(() => printNote(terminal, `reading ${purpose} from stdin ...`), SILENCE_MS);
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of terminal.stdin) {
      clearTimeout(waiting);
      chunks.push(chunk as Uint8Array);
    }
  } finally {
    clearTimeout(waiting);
  }
  return decodeText(Buffer.concat(chunks), "stdin");
}

/** UTF-8 to text, a byte order mark included as it is. Throws FormatError when the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(`${source}: is not UTF-8 text - convert it first`, { cause: error });
  }
}
