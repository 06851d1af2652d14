/**
 * The file format of column traces, written while a model runs and read hook by hook. Little endian:
 *   "SKIMTRC1" | records | header as JSON (UTF-8) | u32 length of the header | "SKIMTRC1"
 * Records follow in the order sequence, token, layer, hook (input, glu); all records of a hook have one size:
 * f32 scores of all columns, or one bit per column (bit i % 8 of byte i / 8 for column i). The header stands
 * at the end because a run learns only then how many tokens there are.
 */
import { z } from "zod";
import { FormatError, OptionError } from "../../errors.ts";
import { checkSchema, decodeUtf8, parseJsonObject } from "../../formats/json-file.ts";
import type { SelectionTrace } from "../../methods/dynamic-input-pruning/eviction.ts";
import type { ByteSink, ByteSource } from "../../platform/types.ts";
import type { TransformerShape } from "../model-shapes.ts";
import {
  type ColumnTrace,
  type HookTrace,
  checkTraceSize,
  hookColumns,
  TRACE_CONTENTS,
  type TraceContent,
  type TraceHeader,
} from "./column-trace.ts";
import { HOOKS, type Hook } from "./memory-plan.ts";

const MAGIC = "SKIMTRC1";
const LENGTH_BYTES = 4;
const TAIL_BYTES = LENGTH_BYTES + MAGIC.length;
/** A header is a shape, a sentence and two numbers per sequence. */
const MAX_HEADER_BYTES = 1 << 20;

const size = z.int().min(1).max(1e8);
const HEADER = z.strictObject({
  version: z.literal(1),
  content: z.enum(TRACE_CONTENTS),
  origin: z.string().max(1000),
  shape: z.strictObject({
    name: z.string().max(200),
    layers: size,
    width: size,
    feedForwardWidth: size,
    heads: size,
    kvHeads: size,
    headWidth: size,
    vocabularySize: size,
    gated: z.literal(true),
  }),
  sequences: z.array(z.strictObject({ promptTokens: z.int().min(0).max(1e8), tokens: size })).min(1),
});

/** Bytes of one record of a hook. */
function recordBytes(content: TraceContent, columns: number): number {
  return content === "scores" ? 4 * columns : Math.ceil(columns / 8);
}

/** Where each hook's record starts within a layer, and the size of a layer. */
function layerLayout(shape: TransformerShape, content: TraceContent): Record<Hook | "bytes", number> {
  const input = recordBytes(content, hookColumns(shape, "input"));
  return { input: 0, glu: input, bytes: input + recordBytes(content, hookColumns(shape, "glu")) };
}

/** Writes a trace as a run produces it: tokens in order, within a token layer by layer, input before glu. */
export class TraceWriter {
  readonly #sink: ByteSink;
  readonly #header: Omit<TraceHeader, "sequences">;
  readonly #layer: Record<Hook | "bytes", number>;
  readonly #token: Uint8Array;
  readonly #sequences: { promptTokens: number; tokens: number }[] = [];
  /** Records of the current token so far. */
  #records = 0;
  #started = false;

  /** @param sink receives the file; `finish` completes it, on failure abort it */
  constructor(sink: ByteSink, header: Omit<TraceHeader, "sequences">) {
    this.#sink = sink;
    this.#header = header;
    this.#layer = layerLayout(header.shape, header.content);
    this.#token = new Uint8Array(this.#layer.bytes * header.shape.layers);
  }

  /** The tokens that follow belong to a new sequence with a prompt of that length. */
  startSequence(promptTokens: number): void {
    this.#requireRecords(0, "a new sequence");
    this.#sequences.push({ promptTokens, tokens: 0 });
  }

  /** Scores [columns] of the next hook; content `scores`. */
  addScores(scores: Float32Array): void {
    const record = this.#nextRecord("scores", scores.length);
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
    for (let i = 0; i < scores.length; i++) view.setFloat32(4 * i, scores[i], true);
  }

  /** Columns selected[0 .. count) of the next hook; content `columns`. */
  addColumns(selected: Int32Array, count: number): void {
    const record = this.#nextRecord("columns");
    record.fill(0);
    for (let i = 0; i < count; i++) record[selected[i] >> 3] |= 1 << (selected[i] & 7);
  }

  /** Completes the current token. */
  async endToken(): Promise<void> {
    this.#requireRecords(this.#header.shape.layers * HOOKS.length, "the end of a token");
    await this.#start();
    await this.#sink.write(this.#token);
    this.#sequences[this.#sequences.length - 1].tokens++;
    this.#records = 0;
  }

  /** Completes the file. */
  async finish(): Promise<void> {
    this.#requireRecords(0, "the end of the trace");
    const header = new TextEncoder().encode(
      JSON.stringify({ version: 1, ...this.#header, sequences: this.#sequences }),
    );
    const tail = new Uint8Array(TAIL_BYTES);
    new DataView(tail.buffer).setUint32(0, header.length, true);
    tail.set(new TextEncoder().encode(MAGIC), LENGTH_BYTES);
    await this.#start();
    await this.#sink.write(header);
    await this.#sink.write(tail);
    await this.#sink.finish();
  }

  async #start(): Promise<void> {
    if (!this.#started) await this.#sink.write(new TextEncoder().encode(MAGIC));
    this.#started = true;
  }

  #nextRecord(content: TraceContent, columns?: number): Uint8Array {
    const hook = HOOKS[this.#records % HOOKS.length];
    const layer = Math.floor(this.#records / HOOKS.length);
    const { shape } = this.#header;
    const expected = hookColumns(shape, hook);
    if (content !== this.#header.content || (columns ?? expected) !== expected) {
      throw new OptionError(
        `trace: expected ${this.#header.content} of ${expected} columns (${hook}), got ${content} of ${columns ?? expected}`,
      );
    }
    if (layer >= shape.layers || this.#sequences.length === 0) {
      throw new OptionError(
        `trace: expected ${shape.layers} layers per token within a sequence, got a record out of place`,
      );
    }
    this.#records++;
    const start = layer * this.#layer.bytes + this.#layer[hook];
    return this.#token.subarray(start, start + recordBytes(content, expected));
  }

  #requireRecords(expected: number, before: string): void {
    if (this.#records !== expected) {
      throw new OptionError(`trace: expected ${expected} records before ${before}, got ${this.#records}`);
    }
  }
}

/** Opens a trace. Throws FormatError when the file is not one or its size contradicts its header. */
export async function openTrace(source: ByteSource): Promise<ColumnTrace> {
  const { header, recordsEnd } = await readHeader(source);
  const layer = layerLayout(header.shape, header.content);
  const tokenBytes = layer.bytes * header.shape.layers;
  const tokens = header.sequences.reduce((sum, sequence) => sum + sequence.tokens, 0);
  if (recordsEnd - MAGIC.length !== tokens * tokenBytes) {
    throw new FormatError(
      `${source.name}: expected ${tokens * tokenBytes} bytes of records for ${tokens} tokens, got ${recordsEnd - MAGIC.length} - the file is damaged`,
    );
  }
  checkTraceSize(header);
  return {
    header,
    async readHook(sequence, layerIndex, hook) {
      const firstToken = header.sequences.slice(0, sequence).reduce((sum, { tokens }) => sum + tokens, 0);
      const offset = MAGIC.length + firstToken * tokenBytes + layerIndex * layer.bytes + layer[hook];
      const count = header.sequences[sequence].tokens;
      const columns = hookColumns(header.shape, hook);
      const bytes = recordBytes(header.content, columns);
      const records = new Uint8Array(count * bytes); // [tokens, record]
      for (let token = 0; token < count; token++) {
        await source.readInto(
          offset + token * tokenBytes,
          records.subarray(token * bytes, (token + 1) * bytes),
        );
      }
      return header.content === "scores"
        ? decodeScores(source.name, records)
        : { content: "columns", selections: decodeColumns(records, columns) };
    },
  };
}

async function readHeader(source: ByteSource): Promise<{ header: TraceHeader; recordsEnd: number }> {
  const notATrace = () =>
    new FormatError(`${source.name}: is not a column trace, expected it to begin and end with ${MAGIC}`);
  if (source.size < MAGIC.length + TAIL_BYTES) throw notATrace();
  const head = new Uint8Array(MAGIC.length);
  const tail = new Uint8Array(TAIL_BYTES);
  await source.readInto(0, head);
  await source.readInto(source.size - TAIL_BYTES, tail);
  const isMagic = (bytes: Uint8Array) => bytes.every((byte, i) => byte === MAGIC.charCodeAt(i));
  if (!isMagic(head) || !isMagic(tail.subarray(LENGTH_BYTES))) throw notATrace();
  const length = new DataView(tail.buffer).getUint32(0, true);
  const recordsEnd = source.size - TAIL_BYTES - length;
  if (length > MAX_HEADER_BYTES || recordsEnd < MAGIC.length) {
    throw new FormatError(`${source.name}: header of ${length} bytes does not fit - the file is damaged`);
  }
  const text = new Uint8Array(length);
  await source.readInto(recordsEnd, text);
  const json = parseJsonObject(source.name, decodeUtf8(source.name, text));
  const { version: _version, ...header } = checkSchema(source.name, HEADER, json);
  return { header, recordsEnd };
}

function decodeScores(name: string, records: Uint8Array): HookTrace {
  const view = new DataView(records.buffer);
  const scores = new Float32Array(records.length / 4);
  for (let i = 0; i < scores.length; i++) {
    const score = view.getFloat32(4 * i, true);
    if (!(score >= 0 && score < Number.POSITIVE_INFINITY)) {
      throw new FormatError(
        `${name}: expected finite scores of at least 0, got ${score} - the file is damaged`,
      );
    }
    scores[i] = score;
  }
  return { content: "scores", scores };
}

function decodeColumns(records: Uint8Array, columns: number): SelectionTrace {
  const bytes = Math.ceil(columns / 8);
  const tokens = records.length / bytes;
  const starts = new Uint32Array(tokens + 1);
  const columnsOf: number[] = [];
  for (let token = 0; token < tokens; token++) {
    for (let column = 0; column < columns; column++) {
      if ((records[token * bytes + (column >> 3)] >> (column & 7)) & 1) columnsOf.push(column);
    }
    starts[token + 1] = columnsOf.length;
  }
  return { starts, columnsOf: Int32Array.from(columnsOf) };
}
