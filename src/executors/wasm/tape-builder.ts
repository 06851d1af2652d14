/**
 * Compiles a program into a tape (kernels/tape/tape.as.ts): one for single tokens, one for batches. They differ in how
 * work is shared out: with one token each thread normalises and quantizes the whole row for itself, which is cheaper
 * than meeting; with many the tokens are shared out. Barriers are placed by the hazard tracker, never by hand.
 */
import * as layout from "../../kernels/layout.ts";
import type {
  Activation,
  AddOp,
  AttentionOp,
  Buffer,
  EmbedOp,
  GluOp,
  LinearOp,
  Op,
  Program,
  RmsNormOp,
  RopeOp,
  ScaleOp,
  SelectOutputsOp,
  StoreKeyValueOp,
} from "../../program/program.ts";
import type { ExecutorOptions } from "../executor.ts";
import { type Access, HazardTracker } from "./hazards.ts";
import type { MemoryPlan, PlacedBuffer, PlacedWeight, PreparedArea } from "./memory-plan.ts";
import { panelCount, type WeightLayout } from "./weight-layout.ts";

export type TapeMode = "decode" | "batch";

export interface Tape {
  readonly words: Uint32Array<ArrayBuffer>;
  /** For each op of the program the kernel that runs it. */
  readonly kernels: readonly string[];
  readonly barriers: number;
}

type Options = Pick<ExecutorOptions, "threads" | "keyValueFormat">;

export function buildTape(program: Program, plan: MemoryPlan, options: Options, mode: TapeMode): Tape {
  const builder = new TapeBuilder(plan, options, mode);
  for (const op of program.ops) builder.append(op);
  return builder.finish();
}

/** A tape that reads `bytes` of memory and does nothing else: the roofline. */
export function buildReadTape(start: number, bytes: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array([layout.OP_READ_MEMORY, 4, start, bytes, layout.OP_END, 2]);
}

interface Touch {
  readonly region: string;
  readonly access: Access;
}

class TapeBuilder {
  readonly #plan: MemoryPlan;
  readonly #options: Options;
  readonly #mode: TapeMode;
  readonly #words: number[] = [];
  readonly #kernels: string[] = [];
  readonly #hazards = new HazardTracker();
  /** Which buffer's rows each prepared area holds at this point; linears that share an input share the work. */
  readonly #prepared = new Map<string, { buffer: string; columns: number; factor: number }>();
  readonly #floats = new DataView(new ArrayBuffer(4));
  #barriers = 0;

  constructor(plan: MemoryPlan, options: Options, mode: TapeMode) {
    this.#plan = plan;
    this.#options = options;
    this.#mode = mode;
  }

  append(op: Op): void {
    switch (op.kind) {
      case "embed":
        this.#embed(op);
        break;
      case "rmsNorm":
        this.#rmsNorm(op);
        break;
      case "linear":
        this.#linear(op);
        break;
      case "rope":
        this.#rope(op);
        break;
      case "storeKeyValue":
        this.#storeKeyValue(op);
        break;
      case "attention":
        this.#attention(op);
        break;
      case "glu":
        this.#glu(op);
        break;
      case "add":
        this.#add(op);
        break;
      case "scale":
        this.#scale(op);
        break;
      case "selectOutputs":
        this.#selectOutputs(op);
        break;
    }
  }

  finish(): Tape {
    this.#words.push(layout.OP_END, 2);
    return { words: new Uint32Array(this.#words), kernels: this.#kernels, barriers: this.#barriers };
  }

  #embed(op: EmbedOp): void {
    const table = this.#weight(op.table.name);
    const out = this.#buffer(op.out);
    this.#kernels.push(`embed_${table.layout.name}`);
    this.#emit(
      layout.OP_EMBED,
      [
        this.#split(),
        table.layout.code,
        table.address,
        op.table.columns,
        this.#float(op.factor),
        out.address,
        out.stride,
      ],
      { reads: [], writes: [this.#rowTouch(op.out)] },
    );
  }

  #rmsNorm(op: RmsNormOp): void {
    const [x, out] = [this.#buffer(op.x), this.#buffer(op.out)];
    const weight = this.#plan.weights.get(op.weight.name);
    if (weight === undefined) throw new Error(`tape: weight ${op.weight.name} has no place`);
    // In place, a thread that runs ahead would change what the others still read: share the rows out instead.
    const split = op.x.name === op.out.name ? layout.SPLIT_TILES : this.#split();
    const access = split === layout.SPLIT_TILES ? "tiles" : "whole";
    this.#kernels.push("rms_norm_f32");
    this.#emit(
      layout.OP_RMS_NORM,
      [
        rowsCode(op.x),
        split,
        x.address,
        x.stride,
        weight.address,
        out.address,
        out.stride,
        op.x.width,
        op.groups,
        this.#float(op.epsilon),
      ],
      { reads: [{ region: op.x.name, access }], writes: [{ region: op.out.name, access }] },
    );
  }

  #linear(op: LinearOp): void {
    const weight = this.#weight(op.weight.name);
    const { columns, rows } = op.weight;
    const out = this.#buffer(op.out);
    const area = this.#prepare(op.x, columns, weight.layout);
    const bias = op.bias === undefined ? this.#plan.zeros : this.#address(op.bias.name);
    const panels = panelCount(rows);
    const decode = this.#mode === "decode";
    this.#kernels.push(
      `linear_${weight.layout.name}_${weight.layout.activations.name}_${decode ? "row" : "tile"}`,
    );
    this.#emit(
      layout.OP_LINEAR,
      [
        rowsCode(op.x),
        weight.layout.code,
        weight.address,
        panels,
        columns,
        decode ? area.rows : area.tiles,
        decode ? area.rowStride : 0,
        out.address,
        out.stride,
        bias,
      ],
      {
        reads: decode ? [] : [{ region: preparedRegion(weight.layout), access: "whole" }],
        writes: [{ region: op.out.name, access: `panels/${panels}` }],
      },
    );
  }

  /** Makes sure the prepared area of the weight's activation format holds x. */
  #prepare(x: Buffer, columns: number, weight: WeightLayout): PreparedArea {
    const { activations, activationFactor } = weight;
    const area = this.#plan.prepared.get(activations.name);
    if (area === undefined) throw new Error(`tape: no area for ${activations.name} activations`);
    const held = this.#prepared.get(activations.name);
    if (held?.buffer === x.name && held.columns === columns && held.factor === activationFactor) return area;
    const decode = this.#mode === "decode";
    const place = this.#buffer(x);
    this.#emit(
      layout.OP_ACTIVATIONS,
      [
        rowsCode(x),
        this.#split(),
        activations.code,
        place.address,
        place.stride,
        columns,
        this.#float(activationFactor),
        decode ? area.rows : area.tiles,
        decode ? area.rowStride : 0,
        activations.tileBytes(columns),
      ],
      {
        reads: [this.#rowTouch(x)],
        // Decoding prepares into rows of the thread's own, which nobody else touches.
        writes: decode ? [] : [{ region: preparedRegion(weight), access: "tiles" }],
      },
    );
    this.#prepared.set(activations.name, { buffer: x.name, columns, factor: activationFactor });
    return area;
  }

  #rope(op: RopeOp): void {
    const x = this.#buffer(op.x);
    const angles = this.#plan.angles.get(op.table.name);
    if (angles === undefined) throw new Error(`tape: rotary table ${op.table.name} has no place`);
    const interleaved = op.table.pairing === "interleaved";
    const touch: Touch = { region: op.x.name, access: `heads/${op.heads}` };
    this.#kernels.push(interleaved ? "rope_f32_interleaved" : "rope_f32_halves");
    this.#emit(
      layout.OP_ROPE,
      [
        x.address,
        x.stride,
        op.heads,
        op.headWidth,
        op.table.inverseFrequencies.length,
        interleaved ? 1 : 0,
        angles,
      ],
      { reads: [touch], writes: [touch] },
    );
  }

  #storeKeyValue(op: StoreKeyValueOp): void {
    const [key, value] = [this.#buffer(op.key), this.#buffer(op.value)];
    const cache = this.#cache(op.cache.name);
    const { kvHeads, headWidth } = op.cache;
    const access: Access = `heads/${kvHeads}`;
    this.#kernels.push(`store_key_value_${this.#options.keyValueFormat}`);
    this.#emit(
      layout.OP_STORE_KEY_VALUE,
      [
        this.#cacheCode(),
        key.address,
        key.stride,
        value.address,
        value.stride,
        cache.keys,
        cache.values,
        cache.slotBytes,
        kvHeads,
        headWidth,
        this.#plan.capacity,
      ],
      {
        reads: [
          { region: op.key.name, access },
          { region: op.value.name, access },
        ],
        writes: [{ region: `cache:${op.cache.name}`, access }],
      },
    );
  }

  #attention(op: AttentionOp): void {
    const [query, out] = [this.#buffer(op.query), this.#buffer(op.out)];
    const cache = this.#cache(op.cache.name);
    const { kvHeads, headWidth } = op.cache;
    const access: Access = `heads/${op.heads}`;
    // Where the threads divide the key/value heads evenly, each reads only what it stored itself.
    const own = kvHeads % this.#options.threads === 0;
    this.#kernels.push(`attention_${this.#options.keyValueFormat}_f32`);
    this.#emit(
      layout.OP_ATTENTION,
      [
        this.#cacheCode(),
        query.address,
        query.stride,
        out.address,
        out.stride,
        cache.keys,
        cache.values,
        cache.slotBytes,
        op.heads,
        op.heads / kvHeads,
        headWidth,
        this.#plan.capacity,
        op.window ?? 0,
        this.#float(op.scale),
        this.#plan.scratch,
        this.#plan.scratchStride,
      ],
      {
        reads: [
          { region: op.query.name, access },
          { region: `cache:${op.cache.name}`, access: own ? `heads/${kvHeads}` : "whole" },
        ],
        writes: [{ region: op.out.name, access }],
      },
    );
  }

  #glu(op: GluOp): void {
    const [gate, up, out] = [this.#buffer(op.gate), this.#buffer(op.up), this.#buffer(op.out)];
    const panels = panelCount(op.out.width);
    const [code, name] = gateCode(op.activation);
    const threshold = op.activation.kind === "fatrelu" ? op.activation.threshold : 0;
    this.#kernels.push(name);
    this.#emit(
      layout.OP_GLU,
      [
        rowsCode(op.out),
        code,
        this.#float(threshold),
        gate.address,
        gate.stride,
        up.address,
        up.stride,
        out.address,
        out.stride,
        panels,
      ],
      panelTouches(panels, [op.gate, op.up], op.out),
    );
  }

  #add(op: AddOp): void {
    const [a, b, out] = [this.#buffer(op.a), this.#buffer(op.b), this.#buffer(op.out)];
    const panels = panelCount(op.out.width);
    this.#kernels.push("add_f32");
    this.#emit(
      layout.OP_ADD,
      [
        rowsCode(op.out),
        a.address,
        a.stride,
        b.address,
        b.stride,
        out.address,
        out.stride,
        panels,
        this.#float(op.factor),
      ],
      panelTouches(panels, [op.a, op.b], op.out),
    );
  }

  #scale(op: ScaleOp): void {
    const [x, out] = [this.#buffer(op.x), this.#buffer(op.out)];
    const panels = panelCount(op.out.width);
    this.#kernels.push("scale_f32");
    this.#emit(
      layout.OP_SCALE,
      [rowsCode(op.out), x.address, x.stride, out.address, out.stride, panels, this.#float(op.factor)],
      panelTouches(panels, [op.x], op.out),
    );
  }

  #selectOutputs(op: SelectOutputsOp): void {
    const [x, out] = [this.#buffer(op.x), this.#buffer(op.out)];
    this.#kernels.push("select_outputs");
    // Rows move, so a thread's tiles of the result come from other threads' tiles.
    this.#emit(layout.OP_SELECT_OUTPUTS, [this.#split(), x.address, x.stride, out.address, out.stride], {
      reads: [{ region: op.x.name, access: "whole" }],
      writes: [this.#rowTouch(op.out)],
    });
  }

  /** Appends an instruction, after a barrier where what it touches asks for one. */
  #emit(
    opcode: number,
    words: readonly number[],
    touches: { reads: readonly Touch[]; writes: readonly Touch[] },
  ): void {
    const hazards = this.#hazards;
    const conflict =
      touches.reads.some(({ region, access }) => hazards.readConflicts(region, access)) ||
      touches.writes.some(({ region, access }) => hazards.writeConflicts(region, access));
    if (conflict && this.#options.threads > 1) {
      this.#words.push(layout.OP_BARRIER, 2);
      this.#barriers++;
    }
    if (conflict) hazards.barrier();
    for (const { region, access } of touches.reads) hazards.read(region, access);
    for (const { region, access } of touches.writes) {
      hazards.write(region, access);
      for (const [name, held] of this.#prepared) if (held.buffer === region) this.#prepared.delete(name);
    }
    this.#words.push(opcode, words.length + 2, ...words);
  }

  /** How an instruction over whole rows touches a buffer in this mode. */
  #rowTouch(buffer: Buffer): Touch {
    return { region: buffer.name, access: this.#mode === "decode" ? "whole" : "tiles" };
  }

  #split(): number {
    return this.#mode === "decode" ? layout.SPLIT_NONE : layout.SPLIT_TILES;
  }

  #cacheCode(): number {
    return this.#options.keyValueFormat === "f16" ? layout.CACHE_F16 : layout.CACHE_F32;
  }

  #float(value: number): number {
    this.#floats.setFloat32(0, value);
    return this.#floats.getUint32(0);
  }

  #buffer(buffer: Buffer): PlacedBuffer {
    const placed = this.#plan.buffers.get(buffer.name);
    if (placed === undefined) throw new Error(`tape: buffer ${buffer.name} has no place`);
    return placed;
  }

  #cache(name: string) {
    const placed = this.#plan.caches.get(name);
    if (placed === undefined) throw new Error(`tape: cache ${name} has no place`);
    return placed;
  }

  #address(weight: string): number {
    const placed = this.#plan.weights.get(weight);
    if (placed === undefined) throw new Error(`tape: weight ${weight} has no place`);
    return placed.address;
  }

  #weight(name: string): PlacedWeight & { layout: WeightLayout } {
    const placed = this.#plan.weights.get(name);
    if (placed?.layout === undefined) throw new Error(`tape: matrix ${name} has no place`);
    return { ...placed, layout: placed.layout };
  }
}

function panelTouches(panels: number, reads: readonly Buffer[], out: Buffer) {
  const access: Access = `panels/${panels}`;
  return {
    reads: reads.map((buffer) => ({ region: buffer.name, access })),
    writes: [{ region: out.name, access }],
  };
}

function preparedRegion(weight: WeightLayout): string {
  return `prepared:${weight.activations.name}`;
}

function rowsCode(buffer: Buffer): number {
  return buffer.rows === "tokens" ? layout.ROWS_TOKENS : layout.ROWS_OUTPUTS;
}

function gateCode(activation: Activation): [code: number, kernel: string] {
  switch (activation.kind) {
    case "silu":
      return [layout.GATE_SILU, "glu_silu_f32"];
    case "gelu":
      return [layout.GATE_GELU, "glu_gelu_f32"];
    case "geluTanh":
      return [layout.GATE_GELU_TANH, "glu_gelu_tanh_f32"];
    case "relu":
      return [layout.GATE_RELU, "glu_relu_f32"];
    case "fatrelu":
      return [layout.GATE_FATRELU, "glu_fatrelu_f32"];
  }
}
