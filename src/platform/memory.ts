/**
 * Byte sources, folders and sinks over memory: for models that arrive as bytes rather than as files, and for
 * tests. Invariant: a source is a view of the caller's bytes, nothing is copied until it is read.
 */
import { ResourceError } from "../errors.ts";
import type { ByteSink, ByteSource, Folder } from "./types.ts";

/** A file whose bytes are `bytes`. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async readInto(offset, target) {
      if (offset < 0 || offset + target.length > bytes.length) {
        throw new ResourceError(
          `${name}: cannot read ${target.length} bytes at ${offset}, expected a range inside ${bytes.length} bytes`,
        );
      }
      target.set(bytes.subarray(offset, offset + target.length));
    },
    async close() {},
  };
}

/** A folder of such files. */
export function memoryFolder(name: string, files: ReadonlyMap<string, Uint8Array>): Folder {
  return {
    name,
    async list() {
      return [...files.keys()];
    },
    async open(fileName) {
      const bytes = files.get(fileName);
      if (bytes === undefined)
        throw new ResourceError(`${name}/${fileName}: no such file - use one of the files in the folder`);
      return memorySource(`${name}/${fileName}`, bytes);
    },
  };
}

/** The files that `write` writes, by name. Throws Error when it leaves one unfinished. */
export async function collectFiles(
  write: (open: (name: string) => Promise<ByteSink>) => Promise<void>,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const sinks = new Map<string, MemorySink>();
  await write(async (name) => {
    const sink = memorySink(name);
    sinks.set(name, sink);
    return sink;
  });
  return new Map([...sinks].map(([name, sink]) => [name, finishedBytes(sink)]));
}

/** The whole file. Throws Error before the sink is finished. */
export function finishedBytes(sink: MemorySink): Uint8Array<ArrayBuffer> {
  const bytes = sink.bytes();
  if (bytes === undefined) throw new Error(`${sink.name}: was not finished`);
  return bytes;
}

export interface MemorySink extends ByteSink {
  /** The whole file once it is finished, undefined before. */
  bytes(): Uint8Array<ArrayBuffer> | undefined;
}

/** A sink that keeps what is written. */
export function memorySink(name: string): MemorySink {
  let chunks: Uint8Array[] = [];
  let complete: Uint8Array<ArrayBuffer> | undefined;
  return {
    name,
    async write(bytes) {
      chunks.push(bytes.slice());
    },
    async finish() {
      const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      let offset = 0;
      for (const chunk of chunks) {
        whole.set(chunk, offset);
        offset += chunk.length;
      }
      complete = whole;
    },
    async abort() {
      chunks = [];
    },
    bytes: () => complete,
  };
}
