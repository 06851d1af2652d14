/**
 * Where choices that prefer cached columns keep their caches (kernels/select-columns/choose-cached.as.ts):
 * one per choice and thread, which the threads keep equal, and scratch per thread. Only with all columns in
 * memory; readers of a column file have caches of their own.
 */
import {
  CHOICE_CHOSEN,
  CHOICE_HEADER_BYTES,
  CHOICE_HITS,
  CHOICE_POSITION,
  MOST_POSITION,
  POLICY_LFU,
  POLICY_LRU,
} from "../../kernels/layout.ts";
import {
  type CacheCounts,
  cachedChoices,
  cacheSlots,
  keptColumns,
} from "../../methods/dynamic-input-pruning/cached-columns.ts";
import type { SelectColumnsOp } from "../../program/column-ops.ts";
import type { Program } from "../../program/program.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { Layouter, ThreadArea } from "./shared-memory.ts";

export interface PlacedChoice {
  readonly cache: ThreadArea;
  readonly slots: number;
  /** Columns chosen. */
  readonly count: number;
}

export interface ChoicePlan {
  readonly byOp: ReadonlyMap<SelectColumnsOp, PlacedChoice>;
  readonly scratch: ThreadArea;
  readonly gamma: number;
  /** POLICY_LRU or POLICY_LFU. */
  readonly policy: number;
}

/** Undefined unless the options ask for caches. Throws what `cachedChoices` throws. */
export function placeChoices(
  program: Program,
  { columnCache, threads }: ExecutorOptions,
  space: Layouter,
): ChoicePlan | undefined {
  if (columnCache === undefined) return undefined;
  const choices = cachedChoices(program, columnCache);
  const byOp = new Map(
    choices.map((op): [SelectColumnsOp, PlacedChoice] => {
      const { width } = op.out;
      const cache = space.takePerThread(CHOICE_HEADER_BYTES + 8 * width, threads);
      return [op, { cache, slots: cacheSlots(columnCache, width), count: keptColumns(op) }];
    }),
  );
  const scratch = space.takePerThread(8 * Math.max(...choices.map(({ out }) => out.width)), threads);
  const policy = columnCache.policy === "lfu" ? POLICY_LFU : POLICY_LRU;
  return { byOp, scratch, gamma: columnCache.gamma, policy };
}

/** The caches as seen from outside, between steps. */
export class ChoiceCaches {
  readonly #memory: WebAssembly.Memory;
  readonly #caches: readonly ThreadArea[];
  readonly #threads: number;

  constructor(memory: WebAssembly.Memory, { byOp }: ChoicePlan, threads: number) {
    this.#memory = memory;
    this.#caches = [...byOp.values()].map(({ cache }) => cache);
    this.#threads = threads;
    this.clear();
  }

  /** The next choice finds all of them empty. */
  clear(): void {
    for (const { address, threadStride } of this.#caches) {
      for (let thread = 0; thread < this.#threads; thread++) {
        const position = address + thread * threadStride + CHOICE_POSITION;
        new Int32Array(this.#memory.buffer, position, 1)[0] = MOST_POSITION;
      }
    }
  }

  /** Since the executor was made; all threads count the same. */
  counts(): CacheCounts {
    const sum = (offset: number) =>
      this.#caches.reduce(
        (total, { address }) =>
          total + Number(new BigInt64Array(this.#memory.buffer, address + offset, 1)[0]),
        0,
      );
    return { chosen: sum(CHOICE_CHOSEN), hits: sum(CHOICE_HITS) };
  }
}
