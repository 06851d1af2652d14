/**
 * Progress on stderr: one line that rewrites itself on a terminal, quarters of the way elsewhere (log files), and
 * those only for work large enough to keep somebody waiting.
 */
import { formatSize, type Terminal } from "./terminal.ts";

/** Below this many bytes loading takes a second or less and log files need no word of it. */
const LOGGED_BYTES = 500_000_000;
const LOGGED_TOKENS = 20_000;

/** A line that would be gone before anybody can read it is not shown. */
const QUIET_MS = 300;

/** Seconds before a remaining time is worth saying. */
const ESTIMATE_AFTER_S = 3;

export type OnProgress = (done: number, total: number) => void;

interface Progress {
  update: OnProgress;
  /** Removes the line from a terminal. */
  end(): void;
}

/** Runs `work` and shows what it says of its progress: `what` ("loading") in percent of so many of a unit. */
export async function withProgress<T>(
  terminal: Terminal,
  what: string,
  unit: string,
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const progress = startProgress(terminal, what, unit);
  try {
    return await work(progress.update);
  } finally {
    progress.end();
  }
}

function startProgress(terminal: Terminal, what: string, unit: string): Progress {
  const size = (total: number) => (unit === "bytes" ? formatSize(total) : `${total} ${unit}`);
  if (terminal.stderr.isTTY === true) return lineProgress(terminal, what, size);
  return loggedProgress(terminal, what, size, unit === "bytes" ? LOGGED_BYTES : LOGGED_TOKENS);
}

function lineProgress({ stderr }: Terminal, what: string, size: (total: number) => string): Progress {
  const startedAt = performance.now();
  let shown = -1;
  return {
    update(done, total) {
      const percent = share(done, total, 100);
      if (percent === shown || performance.now() - startedAt < QUIET_MS) return;
      shown = percent;
      stderr.write(`\r\u001b[K${what} ${percent} % of ${size(total)}${remaining(startedAt, done, total)}`);
    },
    end() {
      if (shown >= 0) stderr.write("\r\u001b[K");
    },
  };
}

/** ", 40 s left" by the pace so far; nothing for the first seconds, whose pace says little. */
function remaining(startedAt: number, done: number, total: number): string {
  const elapsed = (performance.now() - startedAt) / 1000;
  if (elapsed < ESTIMATE_AFTER_S || done === 0) return "";
  return `, ${formatLeft((elapsed * (total - done)) / done)}`;
}

/** "40 s left", from a minute and a half on in minutes. */
export function formatLeft(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 90 ? `${whole} s left` : `${Math.ceil(whole / 60)} min left`;
}

function loggedProgress(
  { stderr }: Terminal,
  what: string,
  size: (total: number) => string,
  least: number,
): Progress {
  const startedAt = performance.now();
  let shown = 0;
  return {
    update(done, total) {
      const quarter = share(done, total, 4);
      if (total < least || quarter === shown) return;
      shown = quarter;
      stderr.write(`${what} ${quarter * 25} % of ${size(total)}${remaining(startedAt, done, total)}\n`);
    },
    end() {},
  };
}

function share(done: number, total: number, parts: number): number {
  return total === 0 ? parts : Math.floor((done / total) * parts);
}
