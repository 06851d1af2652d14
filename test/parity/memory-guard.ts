/**
 * Watches the shared memory of a wasm executor. Before the first step everything that holds no data yet is filled with
 * ones, which read as NaN in f32 and f16: a kernel that reads too far shows it in its results. After each step only the
 * rows, tiles and cache entries that the step was entitled to write may have changed, down to the byte. Staging, which
 * steps have no business with, is left out: it is most of a small executor's memory.
 */
import type { ExecutorOptions } from "../../src/executors/executor.ts";
import type { ColumnOrders } from "../../src/executors/wasm/column-order.ts";
import type { ColumnAreas } from "../../src/executors/wasm/column-plan.ts";
import { type MemoryPlan, planMemory } from "../../src/executors/wasm/memory-plan.ts";
import { STAGING_BYTES } from "../../src/executors/wasm/staging.ts";
import { opColumns, tenderActivations } from "../../src/executors/wasm/tender-layout.ts";
import type { ActivationLayout } from "../../src/executors/wasm/weight-layout.ts";
import { CONTROL_BYTES, PANEL_ROWS, SPAN_ROW_BYTES, TILE_TOKENS } from "../../src/kernels/layout.ts";
import type { CaseStep, KernelCase } from "../../src/kernels/kernel-case.ts";
import { type KeyValueFormat, keyValueRowBytes } from "../../src/program/key-value-format.ts";
import { programRotaryTables } from "../../src/program/dataflow.ts";
import { programBuffers, programCaches } from "../../src/program/dataflow.ts";
import { caseFile } from "../../src/executors/case-runner.ts";

/** Static data of the kernels lies below. */
const FIRST_ADDRESS = 65536;
const PATTERN = 0xff;

export class MemoryGuard {
  readonly #case: KernelCase;
  readonly #plan: MemoryPlan;
  readonly #keyValueFormat: KeyValueFormat;
  readonly #threads: number;
  readonly #memory: Uint8Array;
  readonly #expected: Buffer;

  /** To be made when the weights are loaded and no step has run. */
  constructor(
    kernelCase: KernelCase,
    options: ExecutorOptions,
    orders: ColumnOrders,
    memory: WebAssembly.Memory,
  ) {
    this.#case = kernelCase;
    this.#plan = planMemory(kernelCase.program, caseFile(kernelCase), options, orders);
    this.#keyValueFormat = options.keyValueFormat;
    this.#threads = options.threads;
    this.#memory = new Uint8Array(memory.buffer);
    this.#poison();
    this.#expected = Buffer.alloc(this.#memory.length);
    for (const [start, end] of this.#watched()) {
      this.#expected.set(this.#memory.subarray(start, end), start);
    }
  }

  /** One line for the first byte that changed and should not have, undefined when there is none. */
  check(step: CaseStep): string | undefined {
    for (const [start, bytes] of this.#writable(step)) {
      this.#expected.set(this.#memory.subarray(start, start + bytes), start);
    }
    for (const [start, end] of this.#watched()) {
      const actual = Buffer.from(this.#memory.buffer, start, end - start);
      if (actual.equals(this.#expected.subarray(start, end))) continue;
      const address = start + actual.findIndex((byte, i) => byte !== this.#expected[start + i]);
      return `byte ${address} was overwritten (${this.#nearest(address)})`;
    }
    return undefined;
  }

  /** All of memory but staging, as [start, end). */
  #watched(): readonly (readonly [start: number, end: number])[] {
    const { staging } = this.#plan;
    return [
      [0, staging],
      [staging + 2 * STAGING_BYTES, this.#memory.length],
    ];
  }

  #poison(): void {
    const { control, zeros, tape, tapeBytes, staging, weights, orders, columns } = this.#plan;
    const kept: [start: number, bytes: number][] = [
      [control, CONTROL_BYTES],
      [zeros, this.#plan.tape - zeros],
      [tape, tapeBytes],
      [staging, 2 * STAGING_BYTES],
      ...[...weights.values()].map(({ address, bytes, layout, weight }): [number, number] => [
        address,
        layout === undefined ? 4 * weight.rows * weight.columns : bytes,
      ]),
      ...[...orders.values()].map(({ address, places }): [number, number] => [address, places.byteLength]),
      ...[...columns.values()].map(({ scales, bytes }): [number, number] => [scales, bytes]),
    ];
    kept.sort(([a], [b]) => a - b);
    let next = FIRST_ADDRESS;
    for (const [start, bytes] of kept) {
      if (start > next) this.#memory.fill(PATTERN, next, start);
      next = Math.max(next, start + bytes);
    }
    this.#memory.fill(PATTERN, next);
  }

  *#writable(step: CaseStep): Generator<[start: number, bytes: number]> {
    const plan = this.#plan;
    const [tokens, outputs] = [step.tokens.length, step.outputs.length];
    const whole = (rows: number) => (rows <= 1 ? rows : Math.ceil(rows / TILE_TOKENS) * TILE_TOKENS);
    yield [plan.control, CONTROL_BYTES];
    for (const array of [plan.tokens, plan.positions, plan.slots]) yield [array, 4 * tokens];
    yield [plan.outputs, 4 * outputs];
    yield [plan.taken.address, 4 * plan.taken.count];
    if (step.visible !== undefined) yield [plan.spans, SPAN_ROW_BYTES * tokens];
    for (const table of programRotaryTables(this.#case.program)) {
      yield [found(plan.angles, table.name), 8 * table.inverseFrequencies.length * tokens];
    }
    for (const buffer of programBuffers(this.#case.program)) {
      const { address, stride } = found(plan.buffers, buffer.name);
      yield [address, stride * whole(buffer.rows === "tokens" ? tokens : outputs)];
    }
    yield* this.#preparedRanges(whole(tokens));
    yield [plan.scratch, plan.scratchStride * this.#threads];
    yield [plan.panelScratch, plan.panelScratchStride * this.#threads];
    if (plan.columnAreas !== undefined) yield* this.#columnRanges(plan.columnAreas);
    for (const [start, bytes] of this.#cacheRanges(step)) {
      yield [start, bytes];
      // The echo of every cache line that begins there.
      const line = Math.ceil(start / 64);
      yield [plan.echo + line, Math.max(0, Math.ceil((start + bytes) / 64) - line)];
    }
  }

  /** Each thread's choice and scratch, the tiles of a batch, and the counters behind them. */
  *#columnRanges({
    selections,
    scratch,
    tiles,
    counters,
  }: ColumnAreas): Generator<[start: number, bytes: number]> {
    for (const { address, threadStride } of [...selections.values(), scratch]) {
      yield [address, threadStride * this.#threads];
    }
    yield [tiles, counters - tiles];
    yield [counters, 64 * this.#threads];
  }

  *#preparedRanges(rows: number): Generator<[start: number, bytes: number]> {
    for (const [name, area] of this.#plan.prepared) {
      const users = this.#preparedUsers().filter(({ activations }) => activations.name === name);
      const rowBytes = users.map(({ activations, columns }) => activations.rowBytes(columns));
      const tileBytes = users.map(({ activations, columns }) => activations.tileBytes(columns));
      if (rows === 1) {
        for (let thread = 0; thread < this.#threads; thread++) {
          yield [area.rows + thread * area.rowStride, Math.max(...rowBytes)];
        }
      } else {
        yield [area.tiles, (Math.max(...tileBytes) * rows) / TILE_TOKENS];
      }
    }
  }

  /** Kinds and widths of the activations that linears read; tenderLinear's depend on its quantizer as well. */
  #preparedUsers(): { readonly activations: ActivationLayout; readonly columns: number }[] {
    const stored = [...this.#plan.weights.values()].flatMap(({ weight, layout }) =>
      layout === undefined ? [] : [{ activations: layout.activations, columns: weight.columns }],
    );
    const { orders } = this.#plan;
    const quantized = this.#case.program.ops.flatMap((op) =>
      op.kind === "tenderLinear"
        ? [{ activations: tenderActivations(op, orders), columns: opColumns(op, orders) }]
        : [],
    );
    return [...stored, ...quantized];
  }

  /** The exact elements of the keys (panels of 8 positions) and values (rows) of the step's positions. */
  *#cacheRanges(step: CaseStep): Generator<[start: number, bytes: number]> {
    for (const cache of programCaches(this.#case.program)) {
      const place = found(this.#plan.caches, cache.name);
      const stored = Math.ceil(cache.headWidth / PANEL_ROWS) * PANEL_ROWS;
      for (let t = 0; t < step.tokens.length; t++) {
        const position = step.positions[t];
        for (let head = 0; head < cache.kvHeads; head++) {
          const rowBytes = keyValueRowBytes(this.#keyValueFormat, stored);
          const base = step.slots[t] * place.slotBytes + head * rowBytes * this.#plan.capacity;
          const [keys, values] = [place.keys + base, place.values + base];
          if (this.#keyValueFormat === "q8") {
            const panel = (position >> 3) * PANEL_ROWS * rowBytes;
            yield* codeRanges(keys + panel, values + panel, position & 7, cache.headWidth, stored);
          } else {
            yield* floatRanges(keys, values, position, stored, rowBytes);
          }
        }
      }
    }
  }

  /** The region that begins nearest below an address. */
  #nearest(address: number): string {
    const plan = this.#plan;
    const starts: [number, string][] = [
      [0, "static data"],
      [plan.control, "control"],
      [plan.tokens, "step arrays"],
      [plan.scratch, "scratch"],
      [plan.zeros, "zeros"],
      [plan.tape, "tape"],
      [plan.taken.address, "counters of products"],
      [plan.staging, "staging"],
      ...[...plan.buffers].map(([name, { address: at }]): [number, string] => [at, `buffer ${name}`]),
      ...[...plan.caches].map(([name, { keys }]): [number, string] => [keys, `cache ${name}`]),
      ...[...plan.prepared].map(([name, { rows }]): [number, string] => [rows, `prepared ${name}`]),
      ...[...plan.weights].map(([name, { address: at }]): [number, string] => [at, `weight ${name}`]),
    ];
    const [start, name] = starts.filter(([at]) => at <= address).reduce((a, b) => (b[0] > a[0] ? b : a));
    return `${address - start} bytes into ${name}`;
  }
}

function found<Value>(map: ReadonlyMap<string, Value>, name: string): Value {
  const value = map.get(name);
  if (value === undefined) throw new Error(`memory guard: ${name} has no place`);
  return value;
}

/** What a position of a cache of floats takes: kernels/store-key-value/layout.as.ts. */
function* floatRanges(
  keys: number,
  values: number,
  position: number,
  stored: number,
  rowBytes: number,
): Generator<[start: number, bytes: number]> {
  const size = rowBytes / stored;
  yield [values + position * rowBytes, rowBytes];
  const panel = keys + (position >> 3) * PANEL_ROWS * rowBytes;
  for (let i = 0; i < stored; i++) {
    yield [panel + (i * PANEL_ROWS + (position & 7)) * size, size];
  }
}

/** The same of a cache of bytes, in the panels of keys and values that hold position `at`. */
function* codeRanges(
  keys: number,
  values: number,
  at: number,
  width: number,
  stored: number,
): Generator<[start: number, bytes: number]> {
  const scales = 4 * PANEL_ROWS;
  yield [keys + 4 * at, 4];
  yield [values + 4 * at, 4];
  for (let i = 0; i < width; i++) {
    yield [keys + scales + 2 * ((i >> 1) * PANEL_ROWS + at) + (i & 1), 1];
    yield [values + scales + 2 * ((at >> 1) * stored + i) + (at & 1), 1];
  }
}
