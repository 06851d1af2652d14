/**
 * Ctrl-C as an AbortSignal: the first one asks the running work to stop, a second one ends the process at
 * once for the case that it does not. Loading is not wrapped: there Ctrl-C ends the process, which has
 * nothing to print yet.
 */
import { EXIT_INTERRUPTED, InterruptedError } from "./failure.ts";

/**
 * Runs `work` with a signal that SIGINT aborts; the handler is removed afterwards. Work that the signal
 * stopped throws InterruptedError; what went wrong otherwise is thrown as it is, after Ctrl-C too.
 */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    throw wasStopped(error, controller.signal) ? new InterruptedError() : error;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

/** Whether an error says that `signal` stopped the work, and nothing else. */
export function wasStopped(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && error === signal.reason;
}
