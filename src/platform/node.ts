/**
 * Node's files, workers and clock behind the Platform interface: the only module of the library that imports
 * `node:*`. Kernels and worker scripts always come from this package's dist/, also when the sources run
 * directly (tests), because workers must run built code.
 * Invariant: operating system failures leave here as ResourceError with one clear line.
 */
import { closeSync, constants, fstatSync, openSync, readvSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import v8 from "node:v8";
import { parentPort, Worker, type WorkerOptions } from "node:worker_threads";
import { ResourceError } from "../errors.ts";
import type { SimdVariant } from "./simd-variants.ts";
import type {
  BlockingFile,
  ByteSink,
  ByteSource,
  Folder,
  Platform,
  WorkerHandle,
  WorkerPort,
  WorkerRole,
} from "./types.ts";

/** Linux transfers at most 2^31 - 4096 bytes per read; 1 GiB pieces keep clear of it on every system. */
const MAX_READ_BYTES = 1 << 30;

/** dist/ of this package, whether this file runs as src/platform/node.ts or as dist/platform/node.js. */
const DIST = path.join(path.resolve(import.meta.dirname, "..", ".."), "dist");

/** The platform of a Node process. */
export function nodePlatform(): Platform {
  return {
    runtime: `node ${process.versions.node} ${process.platform} ${process.arch}`,
    coreCount: availableParallelism(),
    open: openPath,
    loadKernels,
    startWorker,
    enableRelaxedSimd() {
      v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
      return true;
    },
    now: () => performance.now(),
    peakMemoryBytes: () => process.resourceUsage().maxRSS * 1024,
  };
}

async function openPath(target: string): Promise<{ file: ByteSource } | { folder: Folder }> {
  const info = await stat(target).catch((error: unknown) => {
    throw resourceError(target, "cannot be opened", error);
  });
  if (info.isDirectory()) return { folder: folderAt(target) };
  if (!info.isFile())
    throw new ResourceError(`${target}: expected a file or a folder, got neither - check the path`);
  return { file: await openFile(target) };
}

function folderAt(folder: string): Folder {
  return {
    name: folder,
    async list() {
      const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
        throw resourceError(folder, "cannot be listed", error);
      });
      // Symbolic links count as files: the Hugging Face cache stores snapshots as links into a blob folder.
      return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
    },
    async open(fileName) {
      const target = path.join(folder, fileName);
      if (path.basename(fileName) !== fileName || fileName === "..") {
        throw new ResourceError(
          `${target}: expected the name of a file directly inside ${folder} - leave out other folders`,
        );
      }
      return openFile(target);
    },
  };
}

async function openFile(target: string): Promise<ByteSource> {
  const handle = await open(target, "r").catch((error: unknown) => {
    throw resourceError(target, "cannot be opened", error);
  });
  const { size } = await handle.stat();
  return {
    name: target,
    size,
    readInto: (offset, bytes) => readFully(handle, target, size, offset, bytes),
    close: () => handle.close(),
  };
}

async function readFully(
  handle: FileHandle,
  name: string,
  size: number,
  offset: number,
  target: Uint8Array,
): Promise<void> {
  if (offset < 0 || offset + target.length > size) {
    throw new ResourceError(
      `${name}: cannot read ${target.length} bytes at ${offset}, expected a range inside ${size} bytes`,
    );
  }
  let done = 0;
  while (done < target.length) {
    const wanted = Math.min(target.length - done, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(target, done, wanted, offset + done).catch((error: unknown) => {
      throw resourceError(name, "cannot be read", error);
    });
    if (bytesRead === 0) {
      throw new ResourceError(
        `${name}: the file ends at byte ${offset + done}, expected ${size} bytes as when it was opened - it was changed meanwhile`,
      );
    }
    done += bytesRead;
  }
}

async function loadKernels(variant: SimdVariant): Promise<Uint8Array<ArrayBuffer>> {
  const file = path.join(DIST, "kernels", `${variant}.wasm`);
  const bytes = await readFile(file).catch((error: unknown) => {
    throw resourceError(file, "the kernels are missing, run `npm run build`", error);
  });
  return new Uint8Array(bytes);
}

/** The port of the worker this is called in. */
export function nodeWorkerPort(): WorkerPort {
  const port = parentPort;
  if (port === null) throw new Error("node platform: a worker port exists only inside a worker");
  return {
    postMessage: (message) => port.postMessage(message),
    onMessage: (listener) => void port.on("message", listener),
  };
}

const WORKER_SCRIPTS: Readonly<Record<WorkerRole, string>> = {
  engine: "executors/wasm/engine-worker.js",
  thread: "executors/wasm/thread-worker.js",
  reader: "offload/reader-worker.js",
};

/** Readers make little garbage; a small nursery keeps each of them from growing by tens of megabytes. */
const WORKER_LIMITS: Readonly<Record<WorkerRole, WorkerOptions>> = {
  engine: {},
  thread: {},
  reader: { resourceLimits: { maxYoungGenerationSizeMb: 1 } },
};

function startWorker(role: WorkerRole): WorkerHandle {
  const worker = new Worker(path.join(DIST, WORKER_SCRIPTS[role]), WORKER_LIMITS[role]);
  let stopping = false;
  return {
    postMessage: (message) => worker.postMessage(message),
    onMessage: (listener) => void worker.on("message", listener),
    onFailure(listener) {
      // An uncaught error is followed by an exit; only the first of the two may reach the listener.
      let reported = false;
      const report = (error: Error) => {
        if (!reported && !stopping) listener(error);
        reported = true;
      };
      worker.on("error", report);
      worker.on("messageerror", report);
      worker.on("exit", (code) =>
        report(new ResourceError(`${role} worker: exited early with code ${code} - load the model again`)),
      );
    },
    async terminate() {
      stopping = true;
      await worker.terminate();
    },
  };
}

/**
 * Opens a file of `bytes` bytes, at least 1 KiB, for blocking reads, past the page cache where the system
 * has O_DIRECT (Linux; not macOS, not Windows, not every file system): otherwise repeated reads would come
 * from memory and count as read from disk. `scratch` is 512 bytes at a multiple of 512, for a first read
 * that tells what works.
 */
export function openBlockingFile(target: string, bytes: number, scratch: Uint8Array): BlockingFile {
  const { descriptor, direct } = openDirectly(target, scratch) ?? {
    descriptor: openPlainly(target),
    direct: false,
  };
  const { size, mtimeNs } = fstatSync(descriptor, { bigint: true });
  if (Number(size) !== bytes) {
    throw new ResourceError(
      `${target}: got ${size} bytes, expected ${bytes} as when it was looked at - was it changed?`,
    );
  }
  return {
    direct,
    read(offset, targets) {
      let wanted = 0;
      for (const { length } of targets) wanted += length;
      const got = readAt(target, descriptor, offset, targets);
      if (got !== wanted) {
        throw new ResourceError(
          `${target}: got ${got} bytes at ${offset}, expected ${wanted} - was the file changed?`,
        );
      }
    },
    checkUnchanged() {
      const now = fstatSync(descriptor, { bigint: true });
      if (now.size === size && now.mtimeNs === mtimeNs) return;
      throw new ResourceError(`${target}: the file was changed while it was in use - load the model again`);
    },
  };
}

function openPlainly(target: string): number {
  try {
    return openSync(target, "r");
  } catch (error) {
    throw resourceError(target, "cannot be opened", error);
  }
}

/**
 * Undefined where direct reads of 512 bytes do not work, whether the system,
 * the file system or the disk says so.
 */
function openDirectly(
  target: string,
  scratch: Uint8Array,
): { descriptor: number; direct: boolean } | undefined {
  // Node leaves the constant out where the system has no such flag.
  const flag: number | undefined = constants.O_DIRECT;
  if (flag === undefined) return undefined;
  let descriptor: number | undefined;
  try {
    descriptor = openSync(target, constants.O_RDONLY | flag);
    readvSync(descriptor, [scratch], scratch.length);
    return { descriptor, direct: true };
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    if (codeOf(error) === "EINVAL" || codeOf(error) === "EOPNOTSUPP") return undefined;
    throw resourceError(target, "cannot be opened", error);
  }
}

function readAt(name: string, descriptor: number, offset: number, targets: readonly Uint8Array[]): number {
  try {
    return readvSync(descriptor, targets, offset);
  } catch (error) {
    throw resourceError(name, "cannot be read", error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/**
 * A sink that writes beside `target` under a temporary name and renames on `finish`, so that a killed run
 * never leaves a half-written file under the final name.
 */
export async function createFileSink(target: string): Promise<ByteSink> {
  const temporary = `${target}.${process.pid}.partial`;
  const handle = await open(temporary, "w").catch((error: unknown) => {
    throw resourceError(target, "cannot be created", error);
  });
  let closed = false;
  const close = async () => {
    if (!closed) await handle.close();
    closed = true;
  };
  return {
    name: target,
    async write(bytes) {
      for (let done = 0; done < bytes.length; ) {
        const wanted = Math.min(bytes.length - done, MAX_READ_BYTES);
        const { bytesWritten } = await handle.write(bytes, done, wanted).catch((error: unknown) => {
          throw resourceError(temporary, "cannot be written", error);
        });
        done += bytesWritten;
      }
    },
    async finish() {
      try {
        await handle.sync();
        await close();
        await rename(temporary, target);
      } catch (error) {
        throw resourceError(target, "cannot be completed", error);
      }
    },
    async abort() {
      await close();
      await rm(temporary, { force: true });
    },
  };
}

/** A folder being written, which appears under its name only when it is complete. */
export interface FolderSink {
  open(fileName: string): Promise<ByteSink>;
  finish(): Promise<void>;
  /** Leaves nothing behind; to be called instead of `finish`. */
  abort(): Promise<void>;
}

/**
 * Writes into a temporary folder beside `target`. ResourceError when `target` exists or cannot be created.
 */
export async function createFolderSink(target: string): Promise<FolderSink> {
  const exists = await stat(target).then(
    () => true,
    () => false,
  );
  if (exists)
    throw new ResourceError(`${target}: exists already, expected a new folder - choose another name`);
  const temporary = `${target}.${process.pid}.partial`;
  await mkdir(temporary, { recursive: true }).catch((error: unknown) => {
    throw resourceError(target, "cannot be created", error);
  });
  return {
    open: (fileName) => createFileSink(path.join(temporary, fileName)),
    async finish() {
      await rename(temporary, target).catch((error: unknown) => {
        throw resourceError(target, "cannot be completed", error);
      });
    },
    abort: () => rm(temporary, { recursive: true, force: true }),
  };
}

function resourceError(name: string, problem: string, cause: unknown): ResourceError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  const reason = code === "ENOENT" ? "no such file or folder" : code;
  return new ResourceError(`${name}: ${problem} (${reason})`, { cause });
}
