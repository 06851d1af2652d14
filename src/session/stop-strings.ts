/**
 * Finds stop strings in text that arrives in pieces. A stop string may begin in one token and end in a later
 * one, so the end of the text that could still become a stop string is held back until it is decided.
 * Invariant: what is released never contains a stop string nor any text behind one.
 */

export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** True once a stop string was seen; later text is swallowed. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes the next text, returns what can be released. */
  push(text: string): string {
    if (this.#stopped) return "";
    if (this.#stops.length === 0) return text;
    const pending = this.#held + text;
    const found = findFirst(pending, this.#stops);
    if (found >= 0) {
      this.#stopped = true;
      this.#held = "";
      return pending.slice(0, found);
    }
    const kept = longestOpenEnd(pending, this.#stops);
    this.#held = pending.slice(pending.length - kept);
    return pending.slice(0, pending.length - kept);
  }

  /** Releases what is held when no more text will come. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Index of the earliest occurrence of any stop string, -1 when there is none. */
function findFirst(text: string, stops: readonly string[]): number {
  let first = -1;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  return first;
}

/** Length of the longest end of `text` that is a proper beginning of a stop string. */
function longestOpenEnd(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (stop.startsWith(text.slice(text.length - length))) longest = length;
    }
  }
  return longest;
}
