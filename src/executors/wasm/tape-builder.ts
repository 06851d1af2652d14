/**
 * Compiles a program into a tape (kernels/tape/tape.as.ts): one for single tokens, one for batches. They
 * differ in how work is shared out: with one token each thread normalises and quantizes the whole row for
 * itself, which is cheaper than meeting; with many the tokens are shared out. Barriers are placed by the
 * hazard tracker, never by hand.
 */
import * as layout from "../../kernels/layout.ts";
import { choiceOps } from "../../program/dataflow.ts";
import type {
  ActivateOp,
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
import { attentionWeights } from "../../program/tender-attention.ts";
import { appendLinearColumns, appendSelectColumns } from "./column-tape.ts";
import type { Access } from "./hazards.ts";
import type { MemoryPlan } from "./memory-plan.ts";
import { floatWord, GATES, gateWords } from "./tape-codes.ts";
import {
  preparedRegion,
  rowsCode,
  type Tape,
  type TapeMode,
  type TapeOptions,
  TapeWriter,
  type Touch,
  type Touches,
} from "./tape-writer.ts";
import { appendLinearRows } from "./row-tape.ts";
import { appendTenderLinear } from "./tender-tape.ts";
import { panelCount } from "./weight-layout.ts";

export function buildTape(program: Program, plan: MemoryPlan, options: TapeOptions, mode: TapeMode): Tape {
  const tape = new TapeWriter(program, plan, options, mode);
  const needless: ReadonlySet<Op> = mode === "batch" ? choiceOps(program) : new Set();
  for (const [i, op] of program.ops.entries()) {
    if (needless.has(op)) tape.kernels.push("none");
    else appendOp(tape, op, program.ops[i + 1]);
  }
  return tape.finish();
}

/** A tape that reads `bytes` of memory and does nothing else: the roofline. */
export function buildReadTape(start: number, bytes: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array([layout.OP_READ_MEMORY, 4, start, bytes, layout.OP_END, 2]);
}

function appendOp(tape: TapeWriter, op: Op, next: Op | undefined): void {
  switch (op.kind) {
    case "embed":
      appendEmbed(tape, op);
      break;
    case "rmsNorm":
      appendRmsNorm(tape, op);
      break;
    case "linear":
      appendLinear(tape, op);
      break;
    case "tenderLinear":
      appendTenderLinear(tape, op);
      break;
    case "rope":
      appendRope(tape, op);
      break;
    case "storeKeyValue":
      appendStoreKeyValue(tape, op);
      break;
    case "attention":
      appendAttention(tape, op);
      break;
    case "glu":
      appendGlu(tape, op);
      break;
    case "activate":
      appendActivate(tape, op);
      break;
    case "add":
      appendAdd(tape, op);
      break;
    case "scale":
      appendScale(tape, op);
      break;
    case "selectColumns":
      appendSelectColumns(tape, op, next);
      break;
    case "linearColumns":
      appendLinearColumns(tape, op);
      break;
    case "linearRows":
      appendLinearRows(tape, op);
      break;
    case "selectOutputs":
      appendSelectOutputs(tape, op);
      break;
  }
}

function appendEmbed(tape: TapeWriter, op: EmbedOp): void {
  const table = tape.weight(op.table.name);
  const out = tape.buffer(op.out);
  tape.kernels.push(`embed_${table.layout.name}`);
  tape.emit(
    layout.OP_EMBED,
    [
      tape.split(),
      table.layout.code,
      table.address,
      op.table.columns,
      floatWord(op.factor),
      out.address,
      out.stride,
    ],
    { reads: [], writes: [tape.rowTouch(op.out)] },
  );
}

function appendRmsNorm(tape: TapeWriter, op: RmsNormOp): void {
  const [x, out] = [tape.buffer(op.x), tape.buffer(op.out)];
  const weight = tape.plan.weights.get(op.weight.name);
  if (weight === undefined) throw new Error(`tape: weight ${op.weight.name} has no place`);
  // In place, a thread that runs ahead would change what the others still read: share the rows out instead.
  const inPlace = op.x.name === op.out.name;
  const split = inPlace ? layout.SPLIT_TILES : tape.split();
  const touch = (buffer: Buffer): Touch =>
    inPlace ? { region: buffer.name, access: "tiles" } : tape.rowTouch(buffer);
  tape.kernels.push("rms_norm_f32");
  tape.emit(
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
      floatWord(op.epsilon),
      tape.threadStride(op.out),
    ],
    { reads: [touch(op.x)], writes: [touch(op.out)] },
  );
}

function appendLinear(tape: TapeWriter, op: LinearOp): void {
  const weight = tape.weight(op.weight.name);
  const { columns, rows } = op.weight;
  const out = tape.buffer(op.out);
  const area = tape.prepare(op.x, columns, weight.layout);
  const bias = op.bias === undefined ? tape.plan.zeros : tape.address(op.bias.name);
  const panels = panelCount(rows);
  const decode = tape.mode === "decode";
  tape.kernels.push(
    `linear_${weight.layout.name}_${weight.layout.activations.name}_${decode ? "row" : "tile"}`,
  );
  tape.emit(
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
      tape.batchCounter(),
    ],
    {
      reads: decode ? [] : [{ region: preparedRegion(weight.layout.activations), access: "whole" }],
      writes: [{ region: op.out.name, access: tape.panelAccess(panels) }],
    },
  );
}

function appendRope(tape: TapeWriter, op: RopeOp): void {
  const x = tape.buffer(op.x);
  const angles = tape.plan.angles.get(op.table.name);
  if (angles === undefined) throw new Error(`tape: rotary table ${op.table.name} has no place`);
  const interleaved = op.table.pairing === "interleaved";
  const touch: Touch = { region: op.x.name, access: `heads/${op.heads}` };
  tape.kernels.push(interleaved ? "rope_f32_interleaved" : "rope_f32_halves");
  tape.emit(
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

function appendStoreKeyValue(tape: TapeWriter, op: StoreKeyValueOp): void {
  const [key, value] = [tape.buffer(op.key), tape.buffer(op.value)];
  const cache = tape.cache(op.cache.name);
  const { kvHeads, headWidth } = op.cache;
  const access: Access = `heads/${kvHeads}`;
  tape.kernels.push(`store_key_value_${tape.options.keyValueFormat}`);
  tape.emit(
    layout.OP_STORE_KEY_VALUE,
    [
      tape.cacheCode(),
      key.address,
      key.stride,
      value.address,
      value.stride,
      cache.keys,
      cache.values,
      cache.slotBytes,
      kvHeads,
      headWidth,
      tape.plan.capacity,
      tape.plan.echo,
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

function appendAttention(tape: TapeWriter, op: AttentionOp): void {
  const [query, out] = [tape.buffer(op.query), tape.buffer(op.out)];
  const cache = tape.cache(op.cache.name);
  const { kvHeads, headWidth } = op.cache;
  const access: Access = `heads/${op.heads}`;
  // Where the threads divide the key/value heads evenly, each reads only what it stored itself.
  const own = kvHeads % tape.options.threads === 0;
  tape.kernels.push(
    `${op.codes === undefined ? "attention" : "tender_attention"}_${tape.options.keyValueFormat}`,
  );
  tape.emit(
    layout.OP_ATTENTION,
    [
      tape.cacheCode(),
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
      tape.plan.capacity,
      op.window ?? 0,
      floatWord(op.scale),
      tape.plan.scratch,
      tape.plan.scratchStride,
      ...attentionTables(tape, op),
      tape.plan.echo,
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

/** Tables of integer products, zeros for floats. */
function attentionTables(tape: TapeWriter, op: AttentionOp): number[] {
  const { codes } = op;
  if (codes === undefined) return new Array<number>(7).fill(0);
  return [
    ...attentionWeights(op).map(({ name }) => tape.address(name)),
    floatWord(codes.limit),
    codes.scoreGroups,
  ];
}

function appendGlu(tape: TapeWriter, op: GluOp): void {
  appendGatedUnit(tape, op, tape.buffer(op.up), [op.gate, op.up]);
}

/** A gated unit whose other side is ones, the same row for every token: multiplying with one is exact. */
function appendActivate(tape: TapeWriter, { x, out, activation }: ActivateOp): void {
  appendGatedUnit(tape, { gate: x, out, activation }, { address: tape.plan.ones.address, stride: 0 }, [x]);
}

function appendGatedUnit(
  tape: TapeWriter,
  op: Pick<GluOp, "gate" | "out" | "activation">,
  up: { readonly address: number; readonly stride: number },
  reads: readonly Buffer[],
): void {
  const [gate, out] = [tape.buffer(op.gate), tape.buffer(op.out)];
  const panels = panelCount(op.out.width);
  tape.kernels.push(GATES[op.activation.kind].kernel);
  tape.emit(
    layout.OP_GLU,
    [
      rowsCode(op.out),
      ...gateWords(op.activation),
      gate.address,
      gate.stride,
      up.address,
      up.stride,
      out.address,
      out.stride,
      panels,
    ],
    panelTouches(panels, reads, op.out),
  );
}

function appendAdd(tape: TapeWriter, op: AddOp): void {
  const [a, b, out] = [tape.buffer(op.a), tape.buffer(op.b), tape.buffer(op.out)];
  const panels = panelCount(op.out.width);
  tape.kernels.push("add_f32");
  tape.emit(
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
      floatWord(op.factor),
    ],
    panelTouches(panels, [op.a, op.b], op.out),
  );
}

function appendScale(tape: TapeWriter, op: ScaleOp): void {
  const [x, out] = [tape.buffer(op.x), tape.buffer(op.out)];
  const panels = panelCount(op.out.width);
  tape.kernels.push("scale_f32");
  tape.emit(
    layout.OP_SCALE,
    [rowsCode(op.out), x.address, x.stride, out.address, out.stride, panels, floatWord(op.factor)],
    panelTouches(panels, [op.x], op.out),
  );
}

function appendSelectOutputs(tape: TapeWriter, op: SelectOutputsOp): void {
  const [x, out] = [tape.buffer(op.x), tape.buffer(op.out)];
  tape.kernels.push("select_outputs");
  // Rows move, so a thread's tiles of the result come from other threads' tiles.
  tape.emit(layout.OP_SELECT_OUTPUTS, [tape.split(), x.address, x.stride, out.address, out.stride], {
    reads: [{ region: op.x.name, access: "whole" }],
    writes: [tape.rowTouch(op.out)],
  });
}

/** What an elementwise instruction touches: the columns its thread owns, of all rows. */
function panelTouches(panels: number, reads: readonly Buffer[], out: Buffer): Touches {
  const access: Access = `panels/${panels}`;
  return {
    reads: reads.map((buffer) => ({ region: buffer.name, access })),
    writes: [{ region: out.name, access }],
  };
}
