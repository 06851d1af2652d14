/**
 * A column file as an executor's column store: knows its ops, reads scales, and starts the reader workers
 * that bring columns while a model runs.
 */
import { FormatError, NumericError, OptionError, ResourceError } from "../errors.ts";
import type {
  ColumnReaders,
  ColumnStore,
  FetchCounts,
  FetchPlan,
  StoredColumns,
} from "../executors/column-store.ts";
import type { ModelFile } from "../formats/model-file.ts";
import { loadRecipeProgram } from "../methods/recipes.ts";
import type { ByteSource, Platform, WorkerHandle } from "../platform/types.ts";
import { type ColumnFileHeader, modelDigest, readColumnHeader, storedColumns } from "./column-file.ts";
import {
  failRequests,
  type ReaderMessage,
  type ReaderReply,
  REPORT_BYTES,
  REPORT_RESET,
  readStatus,
} from "./column-reader.ts";
import { COUNT_NAMES } from "./column-server.ts";
import { fileOps } from "./column-writer.ts";
import { checkGamma } from "../methods/dynamic-input-pruning/column-selection.ts";
import type { CausalPolicy } from "../methods/dynamic-input-pruning/eviction.ts";
import { createQueueState } from "./read-queue.ts";

export interface ColumnStoreOptions {
  /** Most bytes of memory: pinned weights, keys and values, activations, columns, readers. */
  readonly budgetBytes: number;
  /** Default `lfu`. */
  readonly policy?: CausalPolicy | undefined;
  /** Factor on the scores of columns that are not in memory, 0 to 1; default 1, which changes no choice. */
  readonly gamma?: number | undefined;
  /** Workers that read at the same time; default 6. */
  readonly readers?: number | undefined;
  /** Whether the next op's columns are read while the engine computes; default true. It changes no result. */
  readonly readAhead?: boolean | undefined;
}

/** Disks answer several requests at once; more than this gained nothing where it was tried (README.md). */
const DEFAULT_READERS = 6;
/** What a worker takes beside the shared memory, measured. */
const READER_BYTES = 10e6;

/**
 * Opens a column file; it can be closed once executors have been made. OptionError,
 * FormatError, ResourceError.
 */
export async function openColumnStore(
  platform: Platform,
  path: string,
  options: ColumnStoreOptions,
): Promise<FileColumnStore> {
  checkOptions(options);
  const opened = await platform.open(path);
  if (!("file" in opened))
    throw new FormatError(`${path}: expected a column file, got a folder - pass the file`);
  try {
    return new FileColumnStore(opened.file, await readColumnHeader(opened.file), options);
  } catch (error) {
    await opened.file.close();
    throw error;
  }
}

export class FileColumnStore implements ColumnStore {
  readonly budgetBytes: number;
  readonly reservedBytes: number;
  readonly keepsColumns: boolean;
  readonly gamma: number;
  readonly #source: ByteSource;
  readonly #header: ColumnFileHeader;
  readonly #policy: CausalPolicy;
  readonly #readers: number;
  readonly #readAhead: boolean;

  constructor(source: ByteSource, header: ColumnFileHeader, options: ColumnStoreOptions) {
    this.#source = source;
    this.#header = header;
    this.#policy = options.policy ?? "lfu";
    this.#readers = options.readers ?? DEFAULT_READERS;
    this.#readAhead = options.readAhead ?? true;
    this.budgetBytes = options.budgetBytes;
    this.reservedBytes = this.#readers * READER_BYTES;
    this.keepsColumns = this.#policy !== "none";
    this.gamma = options.gamma ?? 1;
  }

  get name(): string {
    return this.#source.name;
  }

  find(weights: readonly string[]): StoredColumns | undefined {
    const op = this.#header.ops.find(
      (candidate) =>
        candidate.weights.length === weights.length &&
        candidate.weights.every((name, i) => name === weights[i]),
    );
    return op === undefined ? undefined : storedColumns(op, this.#header.storage);
  }

  async checkModel(model: ModelFile): Promise<void> {
    const { program } = await loadRecipeProgram(model);
    if ((await modelDigest(model, fileOps(program).flat())) === this.#header.model) return;
    throw new FormatError(
      `${this.name}: made from another model than ${model.name} - write the columns of this one with skim compress columns`,
    );
  }

  async readScales({ weights: [first] }: StoredColumns, target: Float32Array): Promise<void> {
    const op = this.#header.ops.find(({ weights }) => weights[0] === first);
    if (op === undefined) throw new Error(`column store: ${first} is not stored`);
    await this.#source.readInto(
      op.scales,
      new Uint8Array(target.buffer, target.byteOffset, target.byteLength),
    );
    if (target.every((scale) => Number.isFinite(scale))) return;
    throw new FormatError(
      `${this.name}: scales of ${first} are not finite - the file is damaged, write it again`,
    );
  }

  async start(platform: Platform, memory: WebAssembly.Memory, plan: FetchPlan): Promise<ColumnReaders> {
    const columns = Math.max(...plan.sites.map(({ stored }) => stored.columns));
    const shared: Omit<ReaderMessage, "reader"> = {
      path: this.name,
      fileBytes: this.#source.size,
      memory,
      plan,
      policy: this.#policy,
      gamma: this.gamma,
      readAhead: this.#readAhead,
      queue: createQueueState(columns),
      report: new SharedArrayBuffer(REPORT_BYTES),
    };
    const workers = Array.from({ length: this.#readers }, () => platform.startWorker("reader"));
    const readers = new WorkerReaders(workers, shared);
    try {
      await readers.begin();
    } catch (error) {
      await readers.stop();
      throw error;
    }
    return readers;
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}

class WorkerReaders implements ColumnReaders {
  #direct = false;
  readonly #workers: readonly WorkerHandle[];
  readonly #message: Omit<ReaderMessage, "reader">;
  readonly #block: Int32Array;

  constructor(workers: readonly WorkerHandle[], message: Omit<ReaderMessage, "reader">) {
    this.#workers = workers;
    this.#message = message;
    this.#block = new Int32Array(message.memory.buffer, message.plan.block);
  }

  /** Resolves when all readers have opened the file. */
  async begin(): Promise<void> {
    const { report } = this.#message;
    const replies = await Promise.all(
      this.#workers.map(
        (worker, reader) =>
          new Promise<ReaderReply>((resolve, reject) => {
            // The one message a reader sends; column-reader.ts is the contract.
            worker.onMessage((reply) => resolve(reply as ReaderReply));
            worker.onFailure((error) => {
              failRequests(this.#block, report, `column reader: ${error.message}`);
              reject(
                new ResourceError(`column reader: ${error.message} - load the model again`, { cause: error }),
              );
            });
            worker.postMessage({ ...this.#message, reader });
          }),
      ),
    );
    for (const reply of replies) if (reply.kind === "failed") throw new ResourceError(reply.message);
    this.#direct = replies.every((reply) => reply.kind === "ready" && reply.direct);
  }

  counts(): FetchCounts {
    const values = new Float64Array(this.#message.report, 0, COUNT_NAMES.length);
    const [tokens, chosen, hits, generationBytes, promptBytes, generationMs, aheadBytes, aheadUsedBytes] =
      values;
    return {
      tokens,
      chosen,
      hits,
      generationBytes,
      promptBytes,
      generationMs,
      aheadBytes,
      aheadUsedBytes,
      direct: this.#direct,
    };
  }

  failure(): Error | undefined {
    const status = readStatus(this.#block, this.#message.report);
    if (status === undefined) return undefined;
    return status.numeric ? new NumericError(status.message) : new ResourceError(status.message);
  }

  reset(): void {
    Atomics.store(new Int32Array(this.#message.report, REPORT_RESET, 1), 0, 1);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function checkOptions({ budgetBytes, gamma = 1, readers = DEFAULT_READERS }: ColumnStoreOptions): void {
  if (!Number.isSafeInteger(budgetBytes) || budgetBytes < 1) {
    throw new OptionError(
      `memory budget: expected a number of bytes above 0, got ${budgetBytes} - pass what the columns may take`,
    );
  }
  checkGamma(gamma);
  if (!Number.isInteger(readers) || readers < 1 || readers > 64) {
    throw new OptionError(
      `readers: expected a whole number from 1 to 64, got ${readers} - leave it out for the default`,
    );
  }
}
