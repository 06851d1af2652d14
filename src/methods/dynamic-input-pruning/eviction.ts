/**
 * Which resident column a full cache gives up first. A policy keeps one worth per column; the cache evicts the lowest
 * worth, ties lowest index first. Policies of DIP's simulator (Federici et al., arXiv 2412.01380): LRU, LFU and, as
 * an upper bound that needs the future, Belady.
 * Invariant: worths are whole numbers of magnitude below 2^31, so worth * columns + index is exact in a double.
 */

export interface EvictionPolicy {
  /** Per column; the cache evicts the lowest first. */
  readonly worth: Float64Array;
  /** Notes the columns that token `token` (0 = first of the sequence) uses, before anything is evicted. */
  use(selected: Int32Array, count: number, token: number): void;
  /** Forgets everything: a new sequence begins. */
  reset(): void;
}

/** Least recently used leaves first. */
export function leastRecentlyUsed(columns: number): EvictionPolicy {
  const worth = new Float64Array(columns);
  return {
    worth,
    use(selected, count, token) {
      for (let i = 0; i < count; i++) worth[selected[i]] = token + 1;
    },
    reset() {
      worth.fill(0);
    },
  };
}

/** Least often used since the sequence began leaves first; uses count whether the column was resident or not. */
export function leastFrequentlyUsed(columns: number): EvictionPolicy {
  const worth = new Float64Array(columns);
  return {
    worth,
    use(selected, count) {
      for (let i = 0; i < count; i++) worth[selected[i]]++;
    },
    reset() {
      worth.fill(0);
    },
  };
}

/** What every token of one sequence selects, in order; what Belady must know in advance. */
export interface SelectionTrace {
  /** Selections of token t: columnsOf[starts[t] .. starts[t + 1]). */
  readonly starts: Uint32Array;
  readonly columnsOf: Int32Array;
}

/**
 * Next use farthest away leaves first; a column never used again is the farthest. Works for the tokens of `trace`,
 * in their order, and for nothing else.
 */
export function belady(columns: number, trace: SelectionTrace): EvictionPolicy {
  const tokens = trace.starts.length - 1;
  const uses = listUses(columns, trace);
  const worth = new Float64Array(columns);
  const next = new Uint32Array(columns);
  const policy: EvictionPolicy = {
    worth,
    use(selected, count) {
      for (let i = 0; i < count; i++) {
        const column = selected[i];
        const following = ++next[column];
        worth[column] = following < uses.starts[column + 1] ? -uses.tokensOf[following] : -tokens;
      }
    },
    reset() {
      next.set(uses.starts.subarray(0, columns));
      worth.fill(-tokens);
    },
  };
  policy.reset();
  return policy;
}

/** The trace turned around: the tokens that use each column, ascending. */
function listUses(
  columns: number,
  { starts, columnsOf }: SelectionTrace,
): { starts: Uint32Array; tokensOf: Uint32Array } {
  const firstUse = new Uint32Array(columns + 1);
  for (const column of columnsOf) firstUse[column + 1]++;
  for (let column = 0; column < columns; column++) firstUse[column + 1] += firstUse[column];
  const cursor = firstUse.slice(0, columns);
  const tokensOf = new Uint32Array(columnsOf.length);
  for (let token = 0; token + 1 < starts.length; token++) {
    for (let i = starts[token]; i < starts[token + 1]; i++) tokensOf[cursor[columnsOf[i]]++] = token;
  }
  return { starts: firstUse, tokensOf };
}

/** Policies that need no foresight; `none` keeps nothing resident. */
export const CAUSAL_POLICIES = ["none", "lru", "lfu"] as const;
export type CausalPolicy = (typeof CAUSAL_POLICIES)[number];

/** The policy of that name for an input of that width; a cache of policy `none` has no slots and evicts nothing. */
export function causalPolicy(name: Exclude<CausalPolicy, "none">, columns: number): EvictionPolicy {
  switch (name) {
    case "lru":
      return leastRecentlyUsed(columns);
    case "lfu":
      return leastFrequentlyUsed(columns);
  }
}
