// Brings cache lines of keys and values near before they are needed. WebAssembly has no prefetch, and behind a load that misses
// everything waits, so lines of the next span cannot be loaded while this one is computed. They can be stored to: nothing waits
// for a store. A line is claimed by writing its first byte again, the same byte, which `echo` repeats for every line of the
// caches; the kernels of store-key-value keep it. README.md has the figures.
// Invariants: nothing but those kernels changes what a cache holds. No claim is left over when a kernel returns, so
// none meets another thread's store. The byte of the line at p lies at echo + p / 64.

/** Positions at the start of a span that are asked for ahead: there the processor does not read ahead yet. */
export const START: usize = 256;
/** What one head alone reads in one burst where a run of memory starts: it stays in the first-level cache. */
export const BURST: usize = 16384;
const PAGE: usize = 4096;

/**
 * Reads one word of every cache line of a block before the arithmetic on it starts: the loads do not depend on each other and
 * nothing waits for their values, so their misses overlap, which those inside the arithmetic hardly do (README.md).
 */
// @ts-ignore: decorator
@inline export function touch(from: usize, bytes: usize): void {
  for (let line = from & ~63, end = from + bytes; line < end; line += 64) load<i32>(line);
}

/**
 * The start of a run of memory, for one head alone, whose arithmetic takes no longer than reading: behind it the processor
 * reads ahead by itself while the lines follow one another, and bursts would only interrupt the arithmetic.
 */
// @ts-ignore: decorator
@inline export function touchStart(from: usize, bytes: usize): void { touch(from, min(BURST, bytes)); }

/** Where the panels of a span begin. base is its head's first row or panel; both take rowBytes per position. */
// @ts-ignore: decorator
@inline export function startOf(base: usize, span: usize, rowBytes: usize): usize {
  return base + <usize>(load<i32>(span) & ~7) * rowBytes;
}

/** Where that of a span which is asked for ahead ends: its panels up to START positions from its first one. */
// @ts-ignore: decorator
@inline export function readyOf(base: usize, span: usize, rowBytes: usize): usize {
  return base + <usize>min((load<i32>(span) & ~7) + <i32>START + 8, (load<i32>(span, 4) + 7) & ~7) * rowBytes;
}

/**
 * One word of every page where spans start, where there are several: the walks through the page tables, which loads and
 * stores wait for, overlap here and nowhere later.
 */
export function touchPages(keys: usize, values: usize, spans: usize, count: i32, rowBytes: usize): void {
  if (count == 1) return;
  for (let span = spans, end = spans + (<usize>count << 3); span < end; span += 8) {
    const last = readyOf(keys, span, rowBytes) - 1;
    for (let from = startOf(keys, span, rowBytes); from < last; from += PAGE) load<u8>(from), load<u8>(from - keys + values);
    load<u8>(last), load<u8>(last - keys + values);
  }
}

/** The scales of all panels of codes, which are needed before the panels are. */
export function touchScales(values: usize, spans: usize, count: i32, rowBytes: usize): void {
  for (let span = spans, end = spans + (<usize>count << 3); span < end; span += 8) {
    const behind = values + <usize>load<i32>(span, 4) * rowBytes;
    for (let panel = startOf(values, span, rowBytes); panel < behind; panel += rowBytes << 3) load<u8>(panel);
  }
}

/** The echo of what will be claimed, where there are several spans: claims must not wait for it. */
export function touchEchoes(keys: usize, values: usize, spans: usize, count: i32, rowBytes: usize, echo: usize): void {
  if (count == 1) return;
  for (let span = spans, end = spans + (<usize>count << 3); span < end; span += 8) {
    const from = startOf(keys, span, rowBytes), lines = (readyOf(keys, span, rowBytes) - from) >> 6;
    touch(echo + (from >> 6), lines);
    touch(echo + ((from - keys + values) >> 6), lines);
  }
}

// What is to be claimed: [next, last), and where the bytes are. One per instance, that is per thread.
let next: usize = 0;
let last: usize = 0;
let echoes: usize = 0;

/** From now on claims go over the start of a span. */
export function planClaim(base: usize, span: usize, rowBytes: usize, echo: usize): void {
  next = (startOf(base, span, rowBytes) + 63) & ~63;
  last = readyOf(base, span, rowBytes);
  echoes = echo;
}

/** Claims the next `bytes` of it, as far as there are any: a little at a time, since few stores can be under way at once. */
export function claimAhead(bytes: usize): void {
  let line = next;
  const to = min(last, line + bytes);
  for (const echo = echoes; line < to; line += 64) store<u8>(line, load<u8>(echo + (line >> 6)));
  next = line;
}

/** Claims what is left. */
export function claimRest(): void {
  if (next < last) claimAhead(last - next);
}
