/**
 * Node's platform with the engine worker run on the calling thread: starting an executor then takes a few milliseconds
 * instead of a worker's start, and its shared memory can be looked at. For one thread only: helper threads must run
 * beside the engine.
 */
import type { AttachMessage } from "../../src/executors/wasm/engine-protocol.ts";
import { hostEngine } from "../../src/executors/wasm/engine-host.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { Platform, WorkerHandle } from "../../src/platform/types.ts";

export interface InlinePlatform extends Platform {
  /** Memory of the engine that was attached last. */
  readonly memory: () => WebAssembly.Memory;
}

export function inlinePlatform(): InlinePlatform {
  let memory: WebAssembly.Memory | undefined;
  const platform = nodePlatform();
  const kernels = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  return {
    ...platform,
    memory() {
      if (memory === undefined) throw new Error("inline platform: no engine is attached");
      return memory;
    },
    loadKernels(variant) {
      const bytes = kernels.get(variant) ?? platform.loadKernels(variant);
      kernels.set(variant, bytes);
      return bytes;
    },
    startWorker(role) {
      if (role !== "engine") throw new Error("inline platform: expected an executor of one thread");
      return inlineEngine((attached) => {
        memory = attached.memory;
      });
    },
  };
}

function inlineEngine(onAttach: (message: AttachMessage) => void): WorkerHandle {
  let toHost: (message: unknown) => void = () => {};
  let toOwner: (message: unknown) => void = () => {};
  hostEngine({
    postMessage: (message) => queueMicrotask(() => toOwner(message)),
    onMessage: (listener) => {
      toHost = listener;
    },
  });
  let attached = false;
  return {
    postMessage(message) {
      // The first message attaches; see engine-protocol.ts.
      if (!attached) onAttach(message as AttachMessage);
      attached = true;
      queueMicrotask(() => toHost(message));
    },
    onMessage(listener) {
      toOwner = listener;
    },
    onFailure() {},
    async terminate() {},
  };
}
