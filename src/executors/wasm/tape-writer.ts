/**
 * Writes tapes: appends instructions with barriers where their touches ask for one, looks addresses up in
 * the memory plan, and lets linear ops that share an input share its preparation. tape-builder.ts says
 * what each op becomes.
 */
import * as layout from "../../kernels/layout.ts";
import { buffersRead, buffersWritten } from "../../program/dataflow.ts";
import type { KeyValueFormat } from "../../program/key-value-format.ts";
import type { Buffer, Op, Program } from "../../program/program.ts";
import type { ExecutorOptions } from "../executor.ts";
import type { ColumnAreas } from "./column-plan.ts";
import { type Access, HazardTracker } from "./hazards.ts";
import type { MemoryPlan, PlacedBuffer, PlacedCache, PreparedArea } from "./memory-plan.ts";
import type { ThreadArea } from "./shared-memory.ts";
import { floatWord } from "./tape-codes.ts";
import type { ActivationLayout, WeightLayout } from "./weight-layout.ts";
import type { PlacedWeight } from "./weight-plan.ts";

export type TapeMode = "decode" | "batch";

export interface Tape {
  readonly words: Uint32Array<ArrayBuffer>;
  /** For each op of the program the kernel that runs it. */
  readonly kernels: readonly string[];
  readonly barriers: number;
}

const CACHE_CODES: Readonly<Record<KeyValueFormat, number>> = {
  f16: layout.CACHE_F16,
  f32: layout.CACHE_F32,
  q8: layout.CACHE_Q8,
};

export type TapeOptions = Pick<ExecutorOptions, "threads" | "keyValueFormat">;

export interface Touch {
  readonly region: string;
  readonly access: Access;
}

export interface Touches {
  readonly reads: readonly Touch[];
  readonly writes: readonly Touch[];
}

export class TapeWriter {
  readonly plan: MemoryPlan;
  readonly options: TapeOptions;
  readonly mode: TapeMode;
  /** One entry per op of the program, pushed by whoever translates it. */
  readonly kernels: string[] = [];
  readonly #words: number[] = [];
  readonly #hazards = new HazardTracker();
  /** Which buffer's rows each prepared area holds at this point. */
  readonly #prepared = new Map<string, { buffer: string; columns: number; key: string }>();
  readonly #privateBuffers: ReadonlySet<string>;
  #barriers = 0;
  #counters = 0;

  constructor(program: Program, plan: MemoryPlan, options: TapeOptions, mode: TapeMode) {
    this.plan = plan;
    this.options = options;
    this.mode = mode;
    this.#privateBuffers = mode === "decode" ? findPrivateBuffers(program) : new Set();
  }

  finish(): Tape {
    this.#words.push(layout.OP_END, 2);
    return { words: new Uint32Array(this.#words), kernels: this.kernels, barriers: this.#barriers };
  }

  /** Appends an instruction, after a barrier where what it touches asks for one. */
  emit(opcode: number, words: readonly number[], touches: Touches): void {
    const hazards = this.#hazards;
    const conflict =
      touches.reads.some(({ region, access }) => hazards.readConflicts(region, access)) ||
      touches.writes.some(({ region, access }) => hazards.writeConflicts(region, access));
    if (conflict) {
      // A single thread has nobody to meet, but looks at the abort flag there.
      this.#words.push(layout.OP_BARRIER, 2);
      this.#barriers++;
      hazards.barrier();
    }
    for (const { region, access } of touches.reads) hazards.read(region, access);
    for (const { region, access } of touches.writes) {
      hazards.write(region, access);
      for (const [name, held] of this.#prepared) if (held.buffer === region) this.#prepared.delete(name);
    }
    this.#words.push(opcode, words.length + 2, ...words);
  }

  /** Makes sure the prepared area of the weight's activation format holds x. */
  prepare(x: Buffer, columns: number, weight: WeightLayout): PreparedArea {
    const { activations, activationFactor } = weight;
    const area = this.plan.prepared.get(activations.name);
    if (area === undefined) throw new Error(`tape: no area for ${activations.name} activations`);
    if (this.holds(activations.name, x, String(activationFactor))) return area;
    const decode = this.mode === "decode";
    const place = this.buffer(x);
    this.emit(
      layout.OP_ACTIVATIONS,
      [
        rowsCode(x),
        this.split(),
        activations.code,
        place.address,
        place.stride,
        columns,
        floatWord(activationFactor),
        decode ? area.rows : area.tiles,
        decode ? area.rowStride : 0,
        activations.tileBytes(columns),
        this.threadStride(x),
      ],
      {
        reads: [this.rowTouch(x)],
        // Decoding prepares into rows of the thread's own, which nobody else touches.
        writes: decode ? [] : [{ region: preparedRegion(activations), access: "tiles" }],
      },
    );
    return area;
  }

  /**
   * Whether a prepared area holds x in the form that `key` names. From now on it does: the caller appends the
   * instruction that makes it so.
   */
  holds(area: string, x: Buffer, key: string): boolean {
    const held = this.#prepared.get(area);
    if (held?.buffer === x.name && held.columns === x.width && held.key === key) return true;
    this.#prepared.set(area, { buffer: x.name, columns: x.width, key });
    return false;
  }

  /**
   * Distance of the threads' copies of a buffer, 0 where there is one for all. While decoding, thread t's
   * copy of a private buffer is row t: nobody waits for another or shares cache lines with it.
   */
  threadStride(buffer: Buffer): number {
    return this.#privateBuffers.has(buffer.name) ? this.buffer(buffer).stride : 0;
  }

  /** How an instruction over whole rows touches a buffer in this mode. */
  rowTouch(buffer: Buffer): Touch {
    const alone = this.#privateBuffers.has(buffer.name) ? "private" : "whole";
    return { region: buffer.name, access: this.mode === "decode" ? alone : "tiles" };
  }

  /** Whether every thread does all rows of such an instruction or a share of them. */
  split(): number {
    return this.mode === "decode" ? layout.SPLIT_NONE : layout.SPLIT_TILES;
  }

  /**
   * Where a product of a batch counts what of it threads have taken; 0 while decoding,
   * where each has its share.
   */
  batchCounter(): number {
    return this.mode === "decode" ? 0 : this.counter();
  }

  /** The same of a product that threads take pieces of while decoding, too. */
  counter(): number {
    const { address, count } = this.plan.taken;
    if (this.#counters === count) throw new Error("tape: more products than counters");
    return address + 4 * this.#counters++;
  }

  /** How threads write the output of such a product, which has so many panels. */
  panelAccess(panels: number): Access {
    return this.mode === "decode" ? `panels/${panels}` : "taken";
  }

  cacheCode(): number {
    return CACHE_CODES[this.options.keyValueFormat];
  }

  buffer(buffer: Buffer): PlacedBuffer {
    const placed = this.plan.buffers.get(buffer.name);
    if (placed === undefined) throw new Error(`tape: buffer ${buffer.name} has no place`);
    return placed;
  }

  cache(name: string): PlacedCache {
    const placed = this.plan.caches.get(name);
    if (placed === undefined) throw new Error(`tape: cache ${name} has no place`);
    return placed;
  }

  columnAreas(): ColumnAreas {
    const { columnAreas } = this.plan;
    if (columnAreas === undefined) throw new Error("tape: chosen columns and rows have no areas");
    return columnAreas;
  }

  /** Where the threads' choices lie. */
  selection(name: string): ThreadArea {
    const area = this.columnAreas().selections.get(name);
    if (area === undefined) throw new Error(`tape: selection ${name} has no place`);
    return area;
  }

  address(weight: string): number {
    const placed = this.plan.weights.get(weight);
    if (placed === undefined) throw new Error(`tape: weight ${weight} has no place`);
    return placed.address;
  }

  weight(name: string): PlacedWeight & { layout: WeightLayout } {
    const placed = this.plan.weights.get(name);
    if (placed?.layout === undefined) throw new Error(`tape: matrix ${name} has no place`);
    return { ...placed, layout: placed.layout };
  }
}

export function preparedRegion(activations: ActivationLayout): string {
  return `prepared:${activations.name}`;
}

export function rowsCode(buffer: Buffer): number {
  return buffer.rows === "tokens" ? layout.ROWS_TOKENS : layout.ROWS_OUTPUTS;
}

/** Ops whose decoding instructions look for the thread's own copy of what they read. */
const READS_PRIVATELY: ReadonlySet<Op["kind"]> = new Set([
  "linear",
  "tenderLinear",
  "selectColumns",
  "linearColumns",
  "linearRows",
]);

/** Buffers that only norms out of place write and only linear ops (with their selections) read. */
function findPrivateBuffers(program: Program): ReadonlySet<string> {
  const written = new Set<string>();
  const shared = new Set<string>();
  for (const op of program.ops) {
    for (const { name } of buffersWritten(op)) {
      const normed = op.kind === "rmsNorm" && op.x.name !== name;
      (normed ? written : shared).add(name);
    }
    if (!READS_PRIVATELY.has(op.kind)) for (const buffer of buffersRead(op)) shared.add(buffer.name);
  }
  return new Set([...written].filter((name) => !shared.has(name)));
}
