/**
 * Time to move bytes, and what a token costs in it: DIP's cost model (Federici et al., arXiv
 * 2412.01380). Nothing but transfers counts: no compute, latency, chunk size, write-back to DRAM or
 * overlap between layers. Whether DRAM and flash transfers overlap within a call is a choice that must
 * be shown beside every figure.
 */
import { keyValueBytes, type MemoryPlan } from "./memory-plan.ts";

/** Do reads from DRAM and flash of the same call follow each other or overlap? */
export const TIMINGS = ["sequential", "concurrent"] as const;
export type Timing = (typeof TIMINGS)[number];

export interface MemoryLink {
  readonly dramBytesPerSecond: number;
  readonly flashBytesPerSecond: number;
  readonly timing: Timing;
}

/** What one hook of one layer read, token by token. */
export interface HookReads {
  readonly linears: number;
  readonly unitBytes: number;
  /** [tokens] columns chosen */
  readonly selected: Uint32Array;
  /** [tokens] of those, already in DRAM */
  readonly hits: Uint32Array;
}

/** Seconds to read these bytes in one call. */
function transferSeconds(flashBytes: number, dramBytes: number, link: MemoryLink): number {
  const flash = flashBytes / link.flashBytesPerSecond;
  const dram = dramBytes / link.dramBytesPerSecond;
  return link.timing === "concurrent" ? Math.max(flash, dram) : flash + dram;
}

/** Seconds of token t's reads through one hook: its linears one after the other. */
export function hookSeconds(reads: HookReads, token: number, link: MemoryLink): number {
  const hits = reads.hits[token];
  const misses = reads.selected[token] - hits;
  return reads.linears * transferSeconds(misses * reads.unitBytes, hits * reads.unitBytes, link);
}

/** Seconds per generated token for everything pinned, at the mean length of keys and values. */
export function staticSeconds(plan: MemoryPlan, link: MemoryLink): number {
  const { promptLength, sequenceLength } = plan.setting;
  return pinnedSeconds(plan, (promptLength + sequenceLength) / 2, 0, link);
}

/**
 * Simulated time to the first token: one pass over the pinned parts (keys and values of the whole prompt) and
 * the whole MLP from flash, because the prompt runs dense and the caches start empty.
 */
export function firstTokenSeconds(plan: MemoryPlan, link: MemoryLink): number {
  return pinnedSeconds(plan, plan.setting.promptLength, plan.footprint.mlp, link);
}

function pinnedSeconds(plan: MemoryPlan, positions: number, streamedBytes: number, link: MemoryLink): number {
  const pinned = plan.staticBytes - plan.footprint.keyValue + keyValueBytes(plan.setting, positions);
  const resident = Math.max(pinned - plan.overflowBytes, 0);
  return transferSeconds(plan.overflowBytes + streamedBytes, resident, link);
}

/** Simulated speed and traffic of one sequence or, averaged, of several. */
export interface Throughput {
  /** 1 / (static + mean dynamic seconds per token); over several sequences the mean of theirs. */
  readonly tokensPerSecond: number;
  /** Bytes per generated token of the masked linears. */
  readonly flashBytesPerToken: number;
  readonly dramBytesPerToken: number;
}

/** Throughput of one sequence from the reads of all its hooks. */
export function sequenceThroughput(
  reads: readonly HookReads[],
  staticSecondsPerToken: number,
  link: MemoryLink,
): Throughput {
  const tokens = reads[0].selected.length;
  let dynamicSeconds = 0;
  let flashBytes = 0;
  let dramBytes = 0;
  for (const hook of reads) {
    for (let token = 0; token < tokens; token++) {
      dynamicSeconds += hookSeconds(hook, token, link);
      const hits = hook.hits[token];
      flashBytes += hook.linears * (hook.selected[token] - hits) * hook.unitBytes;
      dramBytes += hook.linears * hits * hook.unitBytes;
    }
  }
  return {
    tokensPerSecond: 1 / (staticSecondsPerToken + dynamicSeconds / tokens),
    flashBytesPerToken: flashBytes / tokens,
    dramBytesPerToken: dramBytes / tokens,
  };
}
