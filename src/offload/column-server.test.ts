/**
 * The coordinating reader against the rules written out: choices against the sorting oracle with its
 * cached preference, and at every published address exactly the column's bytes, whatever was cached,
 * evicted or passed through.
 */
import { describe, expect, test } from "vitest";
import type { FetchPlan, FetchSite } from "../executors/column-store.ts";
import { FETCH_ALL, FETCH_CHOSEN, FETCH_INPUT, FETCH_SITE, FETCH_WHAT } from "../kernels/layout.ts";
import { selectTop } from "../kernels/select-columns/reference.ts";
import { normalValues } from "../models/synthetic/random.ts";
import type { BlockingFile } from "../platform/types.ts";
import { COUNT_NAMES, ColumnServer } from "./column-server.ts";
import type { CausalPolicy } from "../methods/dynamic-input-pruning/eviction.ts";
import { createQueueState, ReadQueue } from "./read-queue.ts";

const COLUMNS = 40;
const STRIDE = 512;
const BLOCK = 1024;
const INPUT = 4096;
const OFFSET = 8192;

/** A file whose bytes tell their offset, and how often it was read. */
function numberedFile(): BlockingFile & { reads: number } {
  return {
    direct: false,
    reads: 0,
    read(offset, targets) {
      this.reads++;
      let at = offset;
      for (const target of targets) for (let i = 0; i < target.length; i++) target[i] = valueAt(at++);
    },
    checkUnchanged() {},
  };
}

const valueAt = (offset: number) => (Math.floor(offset / STRIDE) * 7 + (offset % STRIDE)) & 255;

function serverWith(slots: number, policy: CausalPolicy, gamma: number, kept = 12) {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const site: FetchSite = {
    stored: { weights: ["down"], storage: "q8", rows: 500, columns: COLUMNS, stride: STRIDE, offset: OFFSET },
    rule: { kind: "topK", count: kept },
    followsResidual: true,
    slots,
    slotsAddress: 65536,
    transit: 131072,
    selection: 8192,
    places: 12288,
  };
  const plan: FetchPlan = { control: 0, block: BLOCK, discard: 200704, sites: [site] };
  const file = numberedFile();
  const queue = new ReadQueue(createQueueState(COLUMNS), memory, plan, file);
  const counts = new Float64Array(COUNT_NAMES.length);
  const server = new ColumnServer(memory, plan, queue, policy, gamma, counts);
  const block = new DataView(memory.buffer, BLOCK);
  const ask = (x: Float32Array, what: number) => {
    new Float32Array(memory.buffer, INPUT, COLUMNS).set(x);
    block.setInt32(FETCH_SITE, 0, true);
    block.setInt32(FETCH_WHAT, what, true);
    block.setUint32(FETCH_INPUT, INPUT, true);
    server.serve();
    const [count] = new Int32Array(memory.buffer, site.selection, 1);
    return {
      selected: new Int32Array(memory.buffer, site.selection + 16, count).slice(),
      places: new Uint32Array(memory.buffer, site.places, count).slice(),
    };
  };
  return { memory, site, file, server, ask, counts };
}

function expectColumn(memory: WebAssembly.Memory, address: number, column: number): void {
  const bytes = new Uint8Array(memory.buffer, address, STRIDE);
  for (const i of [0, 1, 255, STRIDE - 1]) expect(bytes[i]).toBe(valueAt(OFFSET + column * STRIDE + i));
}

describe.each([0, 5, 16, COLUMNS])("%d slots", (slots) => {
  test.each([
    ["lru", 1],
    ["lfu", 1],
    ["lru", 0.3],
    ["lfu", 0],
  ] as const)("%s, gamma %d: the oracle's choice, and the right bytes at each place", (policy, gamma) => {
    const { memory, site, ask, counts } = serverWith(slots, policy, gamma);
    let resident = new Set<number>();
    /** The slot each column last had. */
    const slotHistory = new Map<number, number>();
    let hits = 0;
    for (let token = 0; token < 30; token++) {
      const x = normalValues(token, "x", COLUMNS, 0, 1);
      const { selected, places } = ask(x, FETCH_CHOSEN);
      const isResident = (column: number) => resident.has(column);
      expect(selected).toEqual(selectTop(x, 12, { gamma, isResident }));
      hits += selected.filter(isResident).length;
      expect(new Set(places).size).toBe(selected.length);
      for (const [i, column] of selected.entries()) expectColumn(memory, places[i], column);
      // Slots say what stays: those chosen now, and earlier ones whose slot was not given away.
      const inSlots = new Map(
        [...selected].map((column, i) => [column, places[i]] as const).filter(isSlot(site)),
      );
      const taken = new Set(inSlots.values());
      resident = new Set([
        ...inSlots.keys(),
        ...[...resident].filter(
          (column) => !inSlots.has(column) && !taken.has(slotHistory.get(column) ?? -1),
        ),
      ]);
      for (const [column, place] of inSlots) slotHistory.set(column, place);
      expect(resident.size).toBeLessThanOrEqual(slots);
    }
    expect(counts[COUNT_NAMES.indexOf("chosen")]).toBe(30 * 12);
    expect(counts[COUNT_NAMES.indexOf("hits")]).toBe(hits);
  });
});

function isSlot({ transit }: FetchSite): (entry: readonly [number, number]) => boolean {
  return ([, place]) => place < transit;
}

test("all columns come in their order, and leave the cache alone", () => {
  const { memory, site, ask, file, counts } = serverWith(16, "lru", 1);
  const x = normalValues(1, "x", COLUMNS, 0, 1);
  ask(x, FETCH_CHOSEN);
  ask(x, FETCH_ALL);
  for (let column = 0; column < COLUMNS; column++)
    expectColumn(memory, site.transit + column * STRIDE, column);
  const before = file.reads;
  ask(x, FETCH_CHOSEN);
  expect(file.reads).toBe(before);
  expect(counts[COUNT_NAMES.indexOf("promptBytes")]).toBe(COLUMNS * STRIDE);
});

test("columns that are far apart are read apart, near ones together", () => {
  const { ask, file, counts } = serverWith(0, "none", 1, 3);
  const x = new Float32Array(COLUMNS);
  // Columns 0 and 4 are 3 x 512 bytes apart; from 4 to 38 it is more than a request is worth.
  x.set([1], 0);
  x.set([1], 4);
  x.set([1], 38);
  ask(x, FETCH_CHOSEN);
  expect(file.reads).toBe(2);
  expect(counts[COUNT_NAMES.indexOf("generationBytes")]).toBe((5 + 1) * STRIDE);
});

test("a failed read withdraws the choice and forgets the cache", () => {
  const { memory, site, ask, file } = serverWith(COLUMNS, "lru", 1);
  const x = normalValues(1, "x", COLUMNS, 0, 1);
  ask(x, FETCH_CHOSEN);
  const { read } = file;
  file.read = () => {
    throw new Error("disk on fire");
  };
  const other = normalValues(2, "x", COLUMNS, 0, 1);
  expect(() => ask(other, FETCH_CHOSEN)).toThrow("disk on fire");
  expect(new Int32Array(memory.buffer, site.selection, 1)[0]).toBe(0);
  file.read = read;
  const { selected, places } = ask(other, FETCH_CHOSEN);
  expect(selected).toEqual(selectTop(other, 12));
  for (const [i, column] of selected.entries()) expectColumn(memory, places[i], column);
});

test("inputs that are not finite are an error", () => {
  const { ask } = serverWith(4, "lru", 1);
  expect(() => ask(new Float32Array(COLUMNS).fill(Number.NaN), FETCH_CHOSEN)).toThrow(
    /down: its input is not finite/,
  );
});

test("a failed read ahead fails the request that waits for it", () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const site = (name: string, transit: number): FetchSite => ({
    stored: { weights: [name], storage: "q8", rows: 500, columns: COLUMNS, stride: STRIDE, offset: OFFSET },
    rule: { kind: "topK", count: COLUMNS },
    followsResidual: true,
    slots: 0,
    slotsAddress: 65536,
    transit,
    selection: 8192,
    places: 12288,
  });
  const sites = [site("gate", 131072), site("down", 163840)];
  const plan: FetchPlan = { control: 0, block: BLOCK, discard: 200704, sites };
  const file = numberedFile();
  const queue = new ReadQueue(createQueueState(COLUMNS), memory, plan, file);
  const server = new ColumnServer(memory, plan, queue, "none", 1, new Float64Array(COUNT_NAMES.length));
  const block = new DataView(memory.buffer, BLOCK);
  const ask = (index: number) => {
    block.setInt32(FETCH_SITE, index, true);
    block.setInt32(FETCH_WHAT, FETCH_CHOSEN, true);
    block.setUint32(FETCH_INPUT, INPUT, true);
    server.serve();
  };
  new Float32Array(memory.buffer, INPUT, COLUMNS).fill(1);
  ask(0);
  server.readAhead();
  ask(1);
  for (let column = 0; column < COLUMNS; column++)
    expectColumn(memory, sites[1].transit + column * STRIDE, column);
  // All of it had been listed ahead: one list of 40 columns for each op, nothing read twice.
  expect(file.reads).toBe(2);
  server.readAhead();
  file.read = () => {
    throw new Error("disk on fire");
  };
  expect(() => ask(0)).toThrow("disk on fire");
  expect(new Int32Array(memory.buffer, 8192, 1)[0]).toBe(0);
});
