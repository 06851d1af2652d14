/** The one shared memory of an executor or trainer, sized once. */
import { ResourceError } from "../../errors.ts";

/** `what` starts the error and `advice` ends it. Throws ResourceError when the platform refuses that much memory. */
export function allocateMemory(pages: number, what: string, advice: string): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    throw new ResourceError(`${what}: cannot allocate ${Math.ceil(pages / 16)} MiB - ${advice}`, {
      cause: error,
    });
  }
}
