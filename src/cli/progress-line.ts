/**
 * The line on stderr that says how far work is. A terminal shows one line that is redrawn; elsewhere (log
 * files) a new line is written now and then. Work that is soon done says nothing.
 */
import type { Terminal } from "./terminal.ts";

/** A line that would be gone before anybody can read it is not drawn. */
const DRAWN_AFTER_MS = 300;

/** Log files get a first line after this time, */
const LOGGED_AFTER_MS = 3000;
/** and further ones this far apart, or a twentieth of the time so far: many hours shall not fill pages. */
const LOGGED_EVERY_MS = 10_000;
const LOGGED_EVERY_SHARE = 0.05;

/** Returns to the start of the line and erases it. */
const ERASE = "\r\u001b[K";

export class ProgressLine {
  readonly #stderr: Terminal["stderr"];
  readonly #startedAt = performance.now();
  #dueAt: number;
  #shown: string | undefined;

  constructor({ stderr }: Terminal) {
    this.#stderr = stderr;
    this.#dueAt = this.#startedAt + (stderr.isTTY === true ? DRAWN_AFTER_MS : LOGGED_AFTER_MS);
  }

  /** Says how far the work is now; to be called as often as there is something new. */
  show(text: string): void {
    const now = performance.now();
    if (text === this.#shown || now < this.#dueAt) return;
    this.#shown = text;
    if (this.#stderr.isTTY === true) {
      this.#stderr.write(`${ERASE}${text}`);
      return;
    }
    this.#stderr.write(`${text}\n`);
    this.#dueAt = now + Math.max(LOGGED_EVERY_MS, LOGGED_EVERY_SHARE * (now - this.#startedAt));
  }

  /** Writes a line that stays. */
  note(text: string): void {
    this.clear();
    this.#stderr.write(`${text}\n`);
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.#stderr.isTTY === true && this.#shown !== undefined) this.#stderr.write(ERASE);
    this.#shown = undefined;
  }
}
