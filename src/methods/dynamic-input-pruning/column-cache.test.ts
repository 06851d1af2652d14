import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RandomSource } from "../../session/random.ts";
import { ColumnCache } from "./column-cache.ts";
import {
  belady,
  type EvictionPolicy,
  leastFrequentlyUsed,
  leastRecentlyUsed,
  type SelectionTrace,
} from "./eviction.ts";

type Masks = readonly (readonly number[])[];

const POLICIES = {
  lru: (columns: number) => leastRecentlyUsed(columns),
  lfu: (columns: number) => leastFrequentlyUsed(columns),
  belady: (columns: number, masks: Masks) => belady(columns, traceOf(masks)),
};
type PolicyName = keyof typeof POLICIES;

/** "00110" to [2, 3]. */
function indices(mask: string): number[] {
  return [...mask].flatMap((bit, i) => (bit === "1" ? [i] : []));
}

function traceOf(masks: Masks): SelectionTrace {
  const starts = new Uint32Array(masks.length + 1);
  masks.forEach((mask, t) => {
    starts[t + 1] = starts[t] + mask.length;
  });
  return { starts, columnsOf: Int32Array.from(masks.flat()) };
}

function createCache(columns: number, slots: number, policy: EvictionPolicy, seed = 1): ColumnCache {
  return new ColumnCache(columns, slots, policy, () => new RandomSource(seed));
}

function residency(cache: ColumnCache): string {
  return [...cache.slotOf].map((slot) => (slot >= 0 ? "1" : "0")).join("");
}

/** Hits and residency after every token. */
function replay(cache: ColumnCache, masks: Masks): { hits: number[]; states: string[] } {
  const hits: number[] = [];
  const states: string[] = [];
  for (const mask of masks) {
    cache.update(Int32Array.from(mask), mask.length);
    hits.push(cache.hits);
    states.push(residency(cache));
  }
  return { hits, states };
}

function replayText(name: PolicyName, slots: number, text: string) {
  const masks = text.split(",").map(indices);
  return replay(createCache(5, slots, POLICIES[name](5, masks)), masks);
}

const FIRST = "00110,11000,01001,01100,01100";
const SECOND = "00110,01001,11000,10001,00011";
const THIRD = "10000,10000,01000,00100,00010,10000";

describe("published traces of 5 units and 3 slots", () => {
  it("Belady, step by step", () => {
    expect(replayText("belady", 3, FIRST)).toEqual({
      hits: [0, 0, 1, 2, 2],
      states: ["00110", "11100", "01101", "01101", "01101"],
    });
    expect(replayText("belady", 3, SECOND)).toEqual({
      hits: [0, 0, 1, 2, 1],
      states: ["00110", "01011", "11001", "11001", "01011"],
    });
  });

  it.each([
    ["lru", FIRST, 4, "01101"],
    ["lru", SECOND, 4, "10011"],
    ["lfu", FIRST, 4, "01101"],
    ["lfu", SECOND, 4, "01011"],
    ["lru", THIRD, 1, "10110"],
    ["lfu", THIRD, 2, "10110"],
    ["belady", THIRD, 2, "10110"],
  ] as const)("%s on %s: %d hits, ends %s", (name, text, hits, end) => {
    const outcome = replayText(name, 3, text);
    expect(outcome.hits.reduce((a, b) => a + b)).toBe(hits);
    expect(outcome.states.at(-1)).toBe(end);
  });

  it("without slots nothing hits", () => {
    const { hits, states } = replayText("lru", 0, FIRST);
    expect(hits).toEqual([0, 0, 0, 0, 0]);
    expect(states.at(-1)).toBe("00000");
  });

  it("an all-ones mask settles on a pinned set", () => {
    for (const name of ["lru", "lfu", "belady"] as const) {
      const { hits, states } = replayText(name, 3, "11111,11111,11111,11111");
      expect(hits).toEqual([0, 3, 3, 3]);
      expect(new Set(states).size).toBe(1);
    }
  });
});

describe("ColumnCache", () => {
  it("names what was loaded and what was streamed", () => {
    const cache = createCache(8, 3, leastRecentlyUsed(8));
    cache.update(Int32Array.of(1, 2), 2);
    expect([...cache.loaded.subarray(0, cache.loadedCount)].sort()).toEqual([1, 2]);
    cache.update(Int32Array.of(2, 4, 5, 6, 7), 5);
    expect(cache.hits).toBe(1);
    expect(cache.loadedCount).toBe(2);
    expect(cache.streamedCount).toBe(2);
    const read = [...cache.loaded.subarray(0, 2), ...cache.streamed.subarray(0, 2)].sort();
    expect(read).toEqual([4, 5, 6, 7]);
    for (const column of cache.loaded.subarray(0, 2))
      expect(cache.columnIn[cache.slotOf[column]]).toBe(column);
  });

  it("gives every missing column the same chance of a scarce slot", () => {
    const loads = new Array<number>(6).fill(0);
    const random = new RandomSource(7);
    for (let round = 0; round < 6000; round++) {
      const cache = new ColumnCache(6, 2, leastRecentlyUsed(6), () => random);
      cache.update(Int32Array.of(0, 1, 2, 3, 4, 5), 6);
      for (const column of cache.loaded) loads[column]++;
    }
    // 2 of 6: a third of 6000 rounds, standard deviation 36.5
    for (const count of loads) expect(Math.abs(count - 2000)).toBeLessThan(5 * 36.5);
  });

  it("refuses slots that are no count", () => {
    expect(() => createCache(4, 1.5, leastRecentlyUsed(4))).toThrow(/slots, expected a whole number/);
  });
});

const trace = fc.integer({ min: 1, max: 12 }).chain((columns) =>
  fc.record({
    columns: fc.constant(columns),
    slots: fc.integer({ min: 0, max: columns + 1 }),
    masks: fc.array(fc.uniqueArray(fc.integer({ min: 0, max: columns - 1 })), {
      minLength: 1,
      maxLength: 14,
    }),
  }),
);
const policyName = fc.constantFrom<PolicyName[]>("lru", "lfu", "belady");

/** The rules written down with sets and sorting, as slow as they read. */
function modelHits(name: PolicyName, columns: number, slots: number, masks: Masks): number[] {
  let resident = new Set<number>();
  return masks.map((mask, t) => {
    const hits = mask.filter((column) => resident.has(column)).length;
    const worth = (column: number): number => {
      if (name === "lru") return masks.slice(0, t).findLastIndex((earlier) => earlier.includes(column));
      if (name === "lfu") return masks.slice(0, t).filter((earlier) => earlier.includes(column)).length;
      const next = masks.slice(t + 1).findIndex((later) => later.includes(column));
      return next < 0 ? -masks.length : -next;
    };
    const unselected = [...resident].filter((column) => !mask.includes(column));
    unselected.sort((a, b) => worth(a) - worth(b) || a - b);
    const evicted = Math.min(Math.max(mask.length + unselected.length - slots, 0), unselected.length);
    resident = new Set([...resident].filter((column) => !unselected.slice(0, evicted).includes(column)));
    if (mask.length <= Math.min(slots, columns)) for (const column of mask) resident.add(column);
    return hits;
  });
}

describe("properties", () => {
  it("agrees with the rules written with sets while selections fit", () => {
    fc.assert(
      fc.property(trace, policyName, ({ columns, slots, masks }, name) => {
        const fitting = masks.filter((mask) => mask.length <= slots);
        fc.pre(fitting.length > 0);
        const { hits } = replay(createCache(columns, slots, POLICIES[name](columns, fitting)), fitting);
        expect(hits).toEqual(modelHits(name, columns, Math.min(slots, columns), fitting));
      }),
      { numRuns: 500 },
    );
  });

  it("Belady hits at least as often as LRU and LFU while selections fit", () => {
    fc.assert(
      fc.property(trace, ({ columns, slots, masks }) => {
        const fitting = masks.filter((mask) => mask.length <= slots);
        fc.pre(fitting.length > 0);
        const total = (name: PolicyName) =>
          replay(createCache(columns, slots, POLICIES[name](columns, fitting)), fitting).hits.reduce(
            (a, b) => a + b,
          );
        const best = total("belady");
        expect(best).toBeGreaterThanOrEqual(total("lru"));
        expect(best).toBeGreaterThanOrEqual(total("lfu"));
      }),
      { numRuns: 500 },
    );
  });

  it("accounts for every selected column and keeps both directions of the map", () => {
    fc.assert(
      fc.property(trace, policyName, ({ columns, slots, masks }, name) => {
        const cache = createCache(columns, slots, POLICIES[name](columns, masks));
        for (const mask of masks) {
          const before = residency(cache);
          cache.update(Int32Array.from(mask), mask.length);
          expect(cache.hits).toBe(mask.filter((column) => before[column] === "1").length);
          const read = [
            ...cache.loaded.subarray(0, cache.loadedCount),
            ...cache.streamed.subarray(0, cache.streamedCount),
          ];
          const missing = mask.filter((column) => before[column] === "0");
          expect(read.sort((a, b) => a - b)).toEqual(missing.sort((a, b) => a - b));
          // the selection stays, as far as there are slots
          const kept = mask.filter((column) => cache.slotOf[column] >= 0).length;
          expect(kept).toBe(Math.min(mask.length, cache.slots));
          cache.columnIn.forEach((column, slot) => {
            if (column >= 0) expect(cache.slotOf[column]).toBe(slot);
          });
          expect(cache.residents).toBe(cache.columnIn.filter((column) => column >= 0).length);
          expect(cache.residents).toBe(cache.slotOf.filter((slot) => slot >= 0).length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("a sequence after another behaves as if it came alone", () => {
    fc.assert(
      fc.property(trace, fc.boolean(), ({ columns, slots, masks }, recent) => {
        const policy = () => (recent ? leastRecentlyUsed(columns) : leastFrequentlyUsed(columns));
        const alone = replay(createCache(columns, slots, policy()), masks);
        const cache = createCache(columns, slots, policy());
        replay(cache, [...masks].reverse());
        cache.reset();
        expect(replay(cache, masks)).toEqual(alone);
      }),
    );
  });
});
