/**
 * Where activations and gradients lie: each buffer has memory from the op that first writes it to the op that
 * last touches it, then its place is free for others. First fit over the ops in order.
 * Invariant: two buffers that are alive at the same op do not overlap.
 */
import type { Buffer } from "../../program/program.ts";
import { touchedBy } from "../../program/training-dataflow.ts";
import type { TrainingOp } from "../../program/training-ops.ts";

export interface BufferPlan {
  /** Byte offset of each buffer. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

interface Block {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** `pinned` buffers keep their place throughout; `bytesOf` must give multiples of 64. */
export function planBuffers(
  ops: readonly TrainingOp[],
  pinned: readonly Buffer[],
  bytesOf: (buffer: Buffer) => number,
): BufferPlan {
  const last = lastUses(ops);
  for (const buffer of pinned) last.set(buffer.name, ops.length);
  const offsets = new Map<string, number>();
  const live: Block[] = [];
  let bytes = 0;
  const place = (buffer: Buffer) => {
    if (offsets.has(buffer.name)) return;
    const start = insertFirstFit(live, buffer.name, bytesOf(buffer));
    offsets.set(buffer.name, start);
    bytes = Math.max(bytes, start + bytesOf(buffer));
  };
  pinned.forEach(place);
  ops.forEach((op, index) => {
    const { reads, writes } = touchedBy(op);
    for (const buffer of [...reads, ...writes]) place(buffer);
    for (let i = live.length - 1; i >= 0; i--) if (last.get(live[i].name) === index) live.splice(i, 1);
  });
  return { offsets, bytes };
}

function lastUses(ops: readonly TrainingOp[]): Map<string, number> {
  const last = new Map<string, number>();
  ops.forEach((op, index) => {
    const { reads, writes } = touchedBy(op);
    for (const buffer of [...reads, ...writes]) last.set(buffer.name, index);
  });
  return last;
}

/** Puts a block into the lowest gap that holds it; `live` stays sorted by address. */
function insertFirstFit(live: Block[], name: string, bytes: number): number {
  let start = 0;
  let at = 0;
  while (at < live.length && live[at].start - start < bytes) start = live[at++].end;
  live.splice(at, 0, { name, start, end: start + bytes });
  return start;
}
