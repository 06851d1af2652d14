/**
 * What runs inside reader workers. Reader 0 waits for the engine's requests and answers them; the others help
 * it read. They block and never take another message: their end is their termination. Free of any platform;
 * the entry point hands in its message port and how to open a file.
 */
import { NumericError } from "../errors.ts";
import type { FetchPlan } from "../executors/column-store.ts";
import { FETCH_OK, FETCH_REQUEST, FETCH_RESPONSE, FETCH_STATUS } from "../kernels/layout.ts";
import type { BlockingFile, WorkerPort } from "../platform/types.ts";
import { COUNT_NAMES, ColumnServer } from "./column-server.ts";
import type { CausalPolicy } from "../methods/dynamic-input-pruning/eviction.ts";
import { ReadQueue } from "./read-queue.ts";

/** First and only message to a reader. */
export interface ReaderMessage {
  /** 0 coordinates. */
  readonly reader: number;
  readonly path: string;
  readonly fileBytes: number;
  readonly memory: WebAssembly.Memory;
  readonly plan: FetchPlan;
  readonly policy: CausalPolicy;
  readonly gamma: number;
  readonly readAhead: boolean;
  readonly queue: SharedArrayBuffer;
  readonly report: SharedArrayBuffer;
}

/** A reader's only message: that it is ready, or why it is not. */
export type ReaderReply =
  | { readonly kind: "ready"; readonly direct: boolean }
  | { readonly kind: "failed"; readonly message: string };

/** What FETCH_STATUS says after a failure. */
const STATUS_RESOURCE = 1;
const STATUS_NUMERIC = 2;

/**
 * What the coordinator tells the executor's side: counts (f64), a word to reset the caches,
 * a message and its length.
 */
export const REPORT_RESET = 8 * COUNT_NAMES.length;
const REPORT_LENGTH = REPORT_RESET + 4;
const REPORT_TEXT = REPORT_LENGTH + 4;
const MAX_TEXT_BYTES = 2048;
export const REPORT_BYTES = REPORT_TEXT + MAX_TEXT_BYTES;

/** Serves one reader; `openFile` gets memory for its first read. */
export function hostReader(
  port: WorkerPort,
  openFile: (path: string, bytes: number, scratch: Uint8Array) => BlockingFile,
): void {
  port.onMessage((message) => {
    const {
      reader,
      path,
      fileBytes,
      memory,
      plan,
      policy,
      gamma,
      readAhead,
      queue: state,
      report,
    } = message as ReaderMessage;
    const reply = (content: ReaderReply) => port.postMessage(content);
    let file: BlockingFile;
    try {
      file = openFile(path, fileBytes, new Uint8Array(memory.buffer, plan.sites[0].transit, 512));
    } catch (error) {
      reply({ kind: "failed", message: textOf(error) });
      return;
    }
    const queue = new ReadQueue(state, memory, plan, file);
    reply({ kind: "ready", direct: file.direct });
    if (reader > 0) queue.help();
    const counts = new Float64Array(report, 0, COUNT_NAMES.length);
    const server = new ColumnServer(memory, plan, queue, policy, gamma, counts);
    coordinate(memory, plan, report, server, readAhead);
  });
}

function coordinate(
  memory: WebAssembly.Memory,
  plan: FetchPlan,
  report: SharedArrayBuffer,
  server: ColumnServer,
  readAhead: boolean,
): never {
  const block = new Int32Array(memory.buffer, plan.block);
  const resetWord = new Int32Array(report, REPORT_RESET, 1);
  for (let seen = 0; ; seen++) {
    while (Atomics.load(block, FETCH_REQUEST / 4) === seen) Atomics.wait(block, FETCH_REQUEST / 4, seen);
    try {
      if (Atomics.exchange(resetWord, 0, 0) === 1) server.reset();
      server.serve();
    } catch (error) {
      writeText(report, textOf(error));
      Atomics.store(
        block,
        FETCH_STATUS / 4,
        error instanceof NumericError ? STATUS_NUMERIC : STATUS_RESOURCE,
      );
    }
    Atomics.store(block, FETCH_RESPONSE / 4, seen + 1);
    Atomics.notify(block, FETCH_RESPONSE / 4);
    if (readAhead) server.readAhead();
  }
}

/** The error that a failed request leaves, undefined while all is well. */
export function readStatus(
  block: Int32Array,
  report: SharedArrayBuffer,
): { readonly numeric: boolean; readonly message: string } | undefined {
  const status = Atomics.load(block, FETCH_STATUS / 4);
  if (status === FETCH_OK) return undefined;
  const [length] = new Int32Array(report, REPORT_LENGTH, 1);
  const message = new TextDecoder().decode(new Uint8Array(report, REPORT_TEXT, length).slice());
  return { numeric: status === STATUS_NUMERIC, message };
}

/** Fails whatever is waited for: the coordinator has died and cannot say so itself. */
export function failRequests(block: Int32Array, report: SharedArrayBuffer, message: string): void {
  writeText(report, message);
  Atomics.store(block, FETCH_STATUS / 4, STATUS_RESOURCE);
  Atomics.store(block, FETCH_RESPONSE / 4, Atomics.load(block, FETCH_REQUEST / 4));
  Atomics.notify(block, FETCH_RESPONSE / 4);
}

function writeText(report: SharedArrayBuffer, text: string): void {
  const bytes = new TextEncoder().encode(text).subarray(0, MAX_TEXT_BYTES);
  new Uint8Array(report, REPORT_TEXT).set(bytes);
  new Int32Array(report, REPORT_LENGTH, 1)[0] = bytes.length;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
