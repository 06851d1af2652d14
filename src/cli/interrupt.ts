/**
 * Ctrl-C as an AbortSignal: the first one asks the running work to stop, a second one ends the process at once for
 * the case that it does not. Loading is not wrapped: there Ctrl-C ends the process, which has nothing to print yet.
 */
import { EXIT_INTERRUPTED } from "./failure.ts";

/** Runs `work` with a signal that SIGINT aborts; the handler is removed afterwards. */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}
