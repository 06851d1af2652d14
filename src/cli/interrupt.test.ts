import { expect, test } from "vitest";
import { InterruptedError } from "./failure.ts";
import { withInterrupt } from "./interrupt.ts";

/** Work that gets SIGINT, then fails with what `failure` makes of the signal. */
function interrupted(failure: (signal: AbortSignal) => unknown): Promise<never> {
  return withInterrupt(async (signal) => {
    process.emit("SIGINT");
    expect(signal.aborted).toBe(true);
    throw failure(signal);
  });
}

test("turns what the signal stopped into an interruption", async () => {
  await expect(interrupted((signal) => signal.reason)).rejects.toBeInstanceOf(InterruptedError);
});

test("keeps an error that Ctrl-C did not cause, also after Ctrl-C", async () => {
  const failure = new Error("the disk is full");
  await expect(interrupted(() => failure)).rejects.toBe(failure);
});

test("leaves no handler behind", async () => {
  const before = process.listenerCount("SIGINT");
  expect(await withInterrupt(async () => process.listenerCount("SIGINT"))).toBe(before + 1);
  expect(process.listenerCount("SIGINT")).toBe(before);
});
