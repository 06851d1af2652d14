/**
 * The executor's end of its workers: starts the engine worker and its helper threads, sends requests one at a
 * time and turns a dead worker into an error of whatever is waiting.
 */
import { ResourceError } from "../../errors.ts";
import { CONTROL_EXIT, CONTROL_STEP } from "../../kernels/layout.ts";
import type { Platform, WorkerHandle } from "../../platform/types.ts";
import { type AttachMessage, type EngineRequest, engineReply } from "./engine-protocol.ts";

type Reply = { readonly stopped: boolean; readonly milliseconds: number };

interface Pending {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export class EngineClient {
  readonly #engine: WorkerHandle;
  readonly #helpers: readonly WorkerHandle[];
  readonly #words: Int32Array;
  readonly #pending: Pending[] = [];
  #failure: Error | undefined;

  /**
   * Starts `threads` threads in all; the engine worker is one of them. Resolves once it has attached; ends
   * all of them and throws ResourceError when it cannot.
   */
  static async start(
    platform: Platform,
    attach: Omit<AttachMessage, "thread">,
    threads: number,
  ): Promise<EngineClient> {
    const client = new EngineClient(platform, attach, threads);
    try {
      await client.#reply();
    } catch (error) {
      await client.stop();
      throw error;
    }
    return client;
  }

  private constructor(platform: Platform, attach: Omit<AttachMessage, "thread">, threads: number) {
    this.#words = new Int32Array(attach.memory.buffer, attach.control);
    this.#engine = platform.startWorker("engine");
    this.#helpers = Array.from({ length: threads - 1 }, () => platform.startWorker("thread"));
    this.#engine.onMessage((message) => this.#settle(message));
    for (const worker of [this.#engine, ...this.#helpers]) worker.onFailure((error) => this.#fail(error));
    this.#engine.postMessage({ ...attach, thread: 0 });
    this.#helpers.forEach((helper, index) => {
      helper.postMessage({ ...attach, thread: index + 1 });
    });
  }

  /**
   * Sends one request; requests are worked off in order. Rejects with ResourceError when a worker has died.
   */
  request(message: EngineRequest): Promise<Reply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const reply = this.#reply();
    this.#engine.postMessage(message);
    return reply;
  }

  async stop(): Promise<void> {
    this.#fail(new ResourceError("engine: stopped while a request was running - load the model again"));
    Atomics.store(this.#words, CONTROL_EXIT / 4, 1);
    Atomics.add(this.#words, CONTROL_STEP / 4, 1);
    Atomics.notify(this.#words, CONTROL_STEP / 4);
    await Promise.all([this.#engine, ...this.#helpers].map((worker) => worker.terminate()));
  }

  #reply(): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
  }

  #settle(message: unknown): void {
    const reply = engineReply.parse(message);
    const pending = this.#pending.shift();
    if (reply.kind === "done") pending?.resolve(reply);
    else pending?.reject(new ResourceError(`engine: ${reply.message}`));
  }

  #fail(cause: Error): void {
    this.#failure ??=
      cause instanceof ResourceError
        ? cause
        : new ResourceError(`engine worker: ${cause.message} - load the model again`, { cause });
    for (const pending of this.#pending.splice(0)) pending.reject(this.#failure);
  }
}
