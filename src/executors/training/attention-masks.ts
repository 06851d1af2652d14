/**
 * Visible positions of a micro-batch as the training attention kernels read them
 * (kernels/attention/sequence-panels.as.ts): per sequence, one byte for 8 consecutive queries and one key,
 * whose bit i says that query i sees the key.
 */
import type { TrainingBatch } from "./training-executor.ts";

/** Queries that share a byte. */
const PANEL = 8;

/** Bytes that hold the masks of any micro-batch within the limits. */
export function maskBytes(rows: number, sequenceLength: number): number {
  // A sequence of n tokens takes ceil(n / 8) * 8 ceil(n / 8) bytes, at most n (sequenceLength + 63) / 8.
  return Math.ceil((rows * (sequenceLength + 63)) / PANEL);
}

/**
 * Writes the masks into `bytes`, which lie at `address`, and into `places` where each sequence's masks begin;
 * 0 for a sequence that is merely causal.
 */
export function writeMasks(
  batch: TrainingBatch,
  places: Int32Array,
  bytes: Uint8Array,
  address: number,
): void {
  const { bounds, visible } = batch;
  let used = 0;
  for (let sequence = 0; sequence + 1 < bounds.length; sequence++) {
    const [first, end] = [bounds[sequence], bounds[sequence + 1]];
    const rows = visible?.slice(first, end);
    if (rows === undefined || rows.every((row) => row === undefined)) {
      places[sequence] = 0;
      continue;
    }
    const panels = Math.ceil(rows.length / PANEL);
    const stride = panels * PANEL;
    const target = bytes.subarray(used, used + panels * stride).fill(0);
    rows.forEach((row, query) => {
      const panel = target.subarray(Math.floor(query / PANEL) * stride);
      for (const { start, end: last } of row ?? [{ start: 0, end: query + 1 }]) {
        for (let key = start; key < last; key++) panel[key] |= 1 << (query % PANEL);
      }
    });
    places[sequence] = address + used;
    used += panels * stride;
  }
}
