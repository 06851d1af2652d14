import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ProgressLine } from "./progress-line.ts";
import { withProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

const ERASE = "\r\u001b[K";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A terminal or a log file, and what has been written to its stderr. */
function openTerminal(isTTY: boolean): { terminal: Terminal; written: () => string } {
  const stderr = Object.assign(new PassThrough(), { isTTY });
  const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr };
  return { terminal, written: () => String(stderr.read() ?? "") };
}

/** Calls `show` once a second with the number of seconds that have passed. */
function run(line: ProgressLine, seconds: number): void {
  for (let second = 1; second <= seconds; second++) {
    vi.advanceTimersByTime(1000);
    line.show(String(second));
  }
}

describe("on a terminal", () => {
  test("one line is redrawn when its text changes, makes way for notes and is removed", () => {
    const { terminal, written } = openTerminal(true);
    const line = new ProgressLine(terminal);
    vi.advanceTimersByTime(1000);
    line.show("1 %");
    line.show("1 %");
    line.show("2 %");
    line.note("half");
    line.show("3 %");
    line.clear();
    expect(written()).toBe(`${ERASE}1 %${ERASE}2 %${ERASE}half\n${ERASE}3 %${ERASE}`);
  });

  test("work that is soon done leaves no trace", () => {
    const { terminal, written } = openTerminal(true);
    const line = new ProgressLine(terminal);
    vi.advanceTimersByTime(100);
    line.show("99 %");
    line.clear();
    expect(written()).toBe("");
  });
});

describe("in a log file", () => {
  test("a line comes after some seconds, then every ten", () => {
    const { terminal, written } = openTerminal(false);
    const line = new ProgressLine(terminal);
    run(line, 30);
    line.clear();
    expect(written()).toBe("3\n13\n23\n");
  });

  test("lines get rarer with time", () => {
    const { terminal, written } = openTerminal(false);
    run(new ProgressLine(terminal), 10 * 3600);
    const lines = written().trimEnd().split("\n").map(Number);
    expect(lines.length).toBeLessThan(150);
    expect(lines[lines.length - 1] / lines[lines.length - 2]).toBeCloseTo(1.05, 2);
  });

  test("work that is soon done says nothing", () => {
    const { terminal, written } = openTerminal(false);
    run(new ProgressLine(terminal), 2);
    expect(written()).toBe("");
  });

  test("work of a known length is told in percent, with the time that is left", async () => {
    const { terminal, written } = openTerminal(false);
    await withProgress(terminal, "reading", "tokens", async (onProgress) => {
      vi.advanceTimersByTime(4000);
      onProgress(2, 8);
    });
    expect(written()).toBe("reading 25 % of 8 tokens, 12 s left\n");
  });
});
