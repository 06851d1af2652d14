/**
 * What skim needs from the place it runs in, passed in as a value by the entry points. Nothing outside
 * `platform/node.ts`, `cli/` and `bench/` imports `node:*`; a browser supplies the same interface.
 */
import type { SimdVariant } from "./simd-variants.ts";

/** Random access to bytes that stay where they are: a file on disk, a `File`, an HTTP range. */
export interface ByteSource {
  /** What to call it in messages. */
  readonly name: string;
  /** Total size in bytes. */
  readonly size: number;
  /** Fills `target` with the bytes from `offset`; throws ResourceError when they cannot all be read. */
  readInto(offset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A file that a worker reads from, blocking, into any memory. */
export interface BlockingFile {
  /** Whether reads go past the page cache; offsets, lengths and addresses are then multiples of 512. */
  readonly direct: boolean;
  /**
   * Fills `targets` one after the other with the bytes from `offset`. Throws ResourceError when they cannot
   * all be read or the file has been changed since it was opened.
   */
  read(offset: number, targets: readonly Uint8Array[]): void;
  /** Throws ResourceError when size or time of change are not what they were when the file was opened. */
  checkUnchanged(): void;
}

/** Where a writer puts a new file. The file appears under its name only when it is complete. */
export interface ByteSink {
  /** What to call it in messages. */
  readonly name: string;
  /**
   * Appends bytes, which may be reused once this resolves; throws ResourceError when they cannot be stored.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the complete file visible under its final name, replacing an older one. */
  finish(): Promise<void>;
  /** Leaves nothing behind; to be called instead of `finish`, any number of times. */
  abort(): Promise<void>;
}

/** A flat folder of named files. */
export interface Folder {
  readonly name: string;
  /** Names of the files directly inside. */
  list(): Promise<string[]>;
  /** Throws ResourceError when there is no such file. */
  open(fileName: string): Promise<ByteSource>;
}

/** Messages to and from a worker; the shape shared by Node's and the browser's workers. */
export interface WorkerHandle {
  postMessage(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when the worker dies of an uncaught error or an early exit. */
  onFailure(listener: (error: Error) => void): void;
  terminate(): Promise<void>;
}

/** A worker's own end of the line to whoever started it. */
export interface WorkerPort {
  postMessage(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
}

export type WorkerRole = "engine" | "thread" | "reader";

export interface Platform {
  /** A short description of the runtime, e.g. `node 20.20.2 linux x64`. */
  readonly runtime: string;
  /** How many hardware threads may be used. */
  readonly coreCount: number;
  /** Opens a path as a file or a folder; throws ResourceError when it does not exist or cannot be read. */
  open(path: string): Promise<{ file: ByteSource } | { folder: Folder }>;
  /** Bytes of a compiled kernel module. */
  loadKernels(variant: SimdVariant): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Starts the worker that owns the wasm executor, one of its threads, or one that reads columns from a file.
   */
  startWorker(role: WorkerRole): WorkerHandle;
  /** Called before the relaxed SIMD probe; returns true if a runtime flag was set that may help it. */
  enableRelaxedSimd(): boolean;
  /** Monotonic clock in milliseconds. */
  now(): number;
  /** Peak resident memory of this process in bytes, 0 where the platform does not tell. */
  peakMemoryBytes(): number;
}
