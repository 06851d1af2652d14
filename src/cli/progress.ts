/** Progress of work whose length is known, in percent and with the time that is left. */
import { ProgressLine } from "./progress-line.ts";
import { formatSize, type Terminal } from "./terminal.ts";

/** Seconds before a remaining time is worth saying. */
const ESTIMATE_AFTER_S = 3;

export type OnProgress = (done: number, total: number) => void;

/** Runs `work` and shows what it says of its progress: `what` ("loading") in percent of so many of a unit. */
export async function withProgress<T>(
  terminal: Terminal,
  what: string,
  unit: string,
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  const line = new ProgressLine(terminal);
  try {
    return await work((done, total) => {
      const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
      const size = unit === "bytes" ? formatSize(total) : `${total} ${unit}`;
      line.show(`${what} ${percent} % of ${size}${remaining(startedAt, done, total)}`);
    });
  } finally {
    line.clear();
  }
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
