/**
 * tenderLinear on the wasm executor against the reference: equal bit for bit, because integers leave no excuse. Every
 * kernel, odd shapes, one row, one column pair, single tokens and batches, chunks by position, one and two threads, relaxed
 * and plain SIMD; every case also asserts which kernel ran.
 */
import { describe, expect, test } from "vitest";
import type { Executor, ExecutorOptions, Step } from "../../src/executors/executor.ts";
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { createWasmExecutor, type WasmExecutor } from "../../src/executors/wasm/wasm-executor.ts";
import type { ModelFile } from "../../src/formats/model-file.ts";
import { type ComputedTensor, overlayFile, vectorTensor } from "../../src/formats/overlay-file.ts";
import { nodePlatform } from "../../src/platform/node.ts";
import type { ActivationQuantizer, Program, Weight } from "../../src/program/program.ts";
import { f32 } from "../../src/quantization/f32.ts";
import { i4 } from "../../src/quantization/i4.ts";
import { i8 } from "../../src/quantization/i8.ts";

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly codeBits: 4 | 8;
  readonly quantizer:
    | { readonly limit: number; readonly groups: number; readonly chunks: number; readonly bias: boolean }
    | { readonly limit: number };
  readonly offset: boolean;
  readonly kernel: string;
}

const CASES: readonly Case[] = [
  {
    rows: 24,
    columns: 64,
    codeBits: 8,
    quantizer: { limit: 127, groups: 9, chunks: 1, bias: true },
    offset: true,
    kernel: "t8_t16",
  },
  {
    rows: 17,
    columns: 172,
    codeBits: 8,
    quantizer: { limit: 127, groups: 4, chunks: 3, bias: true },
    offset: true,
    kernel: "t8_t16",
  },
  // Codes that may be added: batches go through seven products instead of eight.
  {
    rows: 41,
    columns: 160,
    codeBits: 8,
    quantizer: { limit: 127, groups: 8, chunks: 3, bias: true },
    offset: true,
    kernel: "t8_t16",
  },
  {
    rows: 16,
    columns: 1030,
    codeBits: 8,
    quantizer: { limit: 16383 },
    offset: true,
    kernel: "t8_t16",
  },
  {
    rows: 1,
    columns: 2,
    codeBits: 8,
    quantizer: { limit: 127, groups: 1, chunks: 1, bias: false },
    offset: false,
    kernel: "t8_t16",
  },
  { rows: 9, columns: 100, codeBits: 8, quantizer: { limit: 20000 }, offset: false, kernel: "t8_t16" },
  {
    rows: 40,
    columns: 38,
    codeBits: 8,
    quantizer: { limit: 7, groups: 13, chunks: 2, bias: false },
    offset: false,
    kernel: "t8_t16",
  },
  {
    rows: 24,
    columns: 64,
    codeBits: 4,
    quantizer: { limit: 127, groups: 9, chunks: 1, bias: true },
    offset: true,
    kernel: "t4_split",
  },
  {
    rows: 17,
    columns: 172,
    codeBits: 4,
    quantizer: { limit: 127, groups: 4, chunks: 3, bias: true },
    offset: true,
    kernel: "t4_split",
  },
  { rows: 25, columns: 74, codeBits: 4, quantizer: { limit: 32639 }, offset: true, kernel: "t4_split" },
  { rows: 25, columns: 74, codeBits: 4, quantizer: { limit: 32767 }, offset: true, kernel: "t4_t16" },
  { rows: 57, columns: 1030, codeBits: 4, quantizer: { limit: 20000 }, offset: false, kernel: "t4_split" },
  { rows: 1, columns: 2, codeBits: 4, quantizer: { limit: 32767 }, offset: false, kernel: "t4_t16" },
  {
    rows: 24,
    columns: 64,
    codeBits: 4,
    quantizer: { limit: 7, groups: 5, chunks: 1, bias: true },
    offset: true,
    kernel: "t4_t8",
  },
  {
    rows: 17,
    columns: 172,
    codeBits: 4,
    quantizer: { limit: 7, groups: 3, chunks: 3, bias: true },
    offset: true,
    kernel: "t4_t8",
  },
  { rows: 33, columns: 1030, codeBits: 4, quantizer: { limit: 127 }, offset: false, kernel: "t4_t8" },
  {
    rows: 1,
    columns: 2,
    codeBits: 4,
    quantizer: { limit: 127, groups: 1, chunks: 1, bias: false },
    offset: false,
    kernel: "t4_t8",
  },
  {
    rows: 7,
    columns: 34,
    codeBits: 4,
    quantizer: { limit: 7, groups: 6, chunks: 1, bias: false },
    offset: false,
    kernel: "t4_split",
  },
];

const VOCABULARY = 19;

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  /** In [-1, 1). */
  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    return this.#state / 2 ** 31;
  }
  integers(count: number, limit: number): Float32Array {
    return Float32Array.from({ length: count }, () => Math.round(this.next() * limit));
  }
}

function emptyFile(): ModelFile {
  return {
    container: "huggingface",
    name: "case",
    architecture: "case",
    tensors: new Map(),
    tensorBytes: 0,
    readRows: () => Promise.reject(new Error("no such tensor")),
    close: () => Promise.resolve(),
    config: {},
    generationConfig: undefined,
    tokenizerConfig: undefined,
    readTokenizer: () => Promise.resolve(undefined),
    chatTemplate: undefined,
  };
}

function matrix(
  name: string,
  rows: number,
  columns: number,
  format: typeof f32,
  all: Float32Array,
): ComputedTensor {
  return {
    name,
    shape: [rows, columns],
    format,
    values: (first, count) => all.slice(first * columns, (first + count) * columns),
  };
}

/** embed, selectOutputs, tenderLinear: the last one's input is exact on both executors. */
function build(given: Case, seed: number): { program: Program; file: ModelFile } {
  const { rows, columns, codeBits } = given;
  const random = new Random(seed);
  // Row 0 has an outlier, row 1 is all zeros.
  const table = Float32Array.from({ length: VOCABULARY * columns }, (_, i) =>
    i >= columns && i < 2 * columns && rows > 1 ? 0 : random.next() * (i === 1 ? 300 : 3),
  );
  const tensors = [
    matrix("table", VOCABULARY, columns, f32, table),
    matrix(
      "codes",
      rows,
      columns,
      codeBits === 4 ? i4 : i8,
      random.integers(rows * columns, codeBits === 4 ? 7 : 127),
    ),
    vectorTensor(
      "scales",
      f32,
      Float32Array.from({ length: rows }, () => Math.abs(random.next())),
    ),
  ];
  const vector = (name: string, values: Float32Array, format = f32): Weight => {
    tensors.push(vectorTensor(name, format, values));
    return { name, rows: 1, columns: values.length, tensor: name, firstRow: 0 };
  };
  const quantizer = buildQuantizer(given, random, vector);
  const chunks = quantizer.kind === "static" ? quantizer.chunks : 1;
  const floats = (count: number) => Float32Array.from({ length: count }, () => random.next());
  const offset = given.offset ? vector("offset", floats(chunks * rows)) : undefined;
  const weight = (name: string, count: number, width: number): Weight => ({
    name,
    rows: count,
    columns: width,
    tensor: name,
    firstRow: 0,
  });
  const hidden = { name: "hidden", width: columns, rows: "tokens" } as const;
  const selected = { name: "selected", width: columns, rows: "outputs" } as const;
  const logits = { name: "logits", width: rows, rows: "outputs" } as const;
  const program: Program = {
    name: "case",
    contextLength: 64,
    vocabularySize: rows,
    logits,
    ops: [
      { kind: "embed", table: weight("table", VOCABULARY, columns), out: hidden, factor: 1 },
      { kind: "selectOutputs", x: hidden, out: selected },
      {
        kind: "tenderLinear",
        x: selected,
        codes: weight("codes", rows, columns),
        codeBits,
        scales: weight("scales", 1, rows),
        offset,
        quantizer,
        out: logits,
      },
    ],
  };
  return { program, file: overlayFile(emptyFile(), tensors, undefined) };
}

function buildQuantizer(
  { columns, quantizer }: Case,
  random: Random,
  vector: (name: string, values: Float32Array, format?: typeof f32) => Weight,
): ActivationQuantizer {
  if (!("groups" in quantizer)) return { kind: "dynamic", name: "per token", limit: quantizer.limit };
  const { limit, groups, chunks, bias } = quantizer;
  const exponents = Float32Array.from({ length: chunks * columns }, () =>
    Math.floor(Math.abs(random.next()) * groups),
  );
  return {
    kind: "static",
    name: "input",
    limit,
    maxExponent: groups - 1,
    chunks,
    chunkRows: 2,
    bias: bias
      ? vector(
          "bias",
          Float32Array.from(exponents, () => random.next()),
        )
      : undefined,
    exponents: vector("exponents", exponents, i8),
    scales: vector(
      "input scales",
      Float32Array.from({ length: chunks }, () => 3 / 2 ** groups / limit),
    ),
  };
}

function options(simd: "relaxed" | "plain", threads: number): ExecutorOptions {
  return {
    threads,
    limits: { contextLength: 64, slots: 1, stepTokens: 40 },
    keyValueFormat: "f32",
    weightFormat: "f32", // forced storage must not touch codes
    simd,
    onProgress: undefined,
  };
}

/** `count` tokens from position `first`; all rows but the second are outputs. */
function step(count: number, first: number, vocabulary: number): Step {
  const rows = Array.from({ length: count }, (_, row) => row);
  return {
    tokens: Int32Array.from(rows, (row) => (row * 5) % Math.min(vocabulary, VOCABULARY)),
    positions: Int32Array.from(rows, (row) => first + row),
    slots: new Int32Array(count),
    outputs: Int32Array.from(rows.filter((row) => row !== 1)),
  };
}

async function run(executor: Executor): Promise<number[]> {
  const all: number[] = [];
  for (const [count, first] of [
    [1, 0],
    [1, 3],
    [1, 9],
    [2, 1],
    [5, 0],
    [6, 2],
    [16, 5],
    [9, 3],
    [17, 0],
    [40, 7],
    [10, 1],
  ]) {
    all.push(...(await executor.step(step(count, first, executor.program.vocabularySize))));
  }
  return all;
}

for (const simd of ["relaxed", "plain"] as const) {
  for (const threads of [1, 2]) {
    describe(`${simd} SIMD, ${threads} threads`, () => {
      test.each(
        CASES.map(
          (given, index) =>
            [`${given.kernel}, ${given.rows} x ${given.columns}, case ${index}`, given] as const,
        ),
      )("%s", async (_, given) => {
        const { program, file } = build(given, 100 + given.rows + given.columns);
        const reference = await createReferenceExecutor(program, file, {
          ...options(simd, 1),
          weightFormat: "auto",
        });
        let wasm: WasmExecutor | undefined;
        try {
          wasm = await createWasmExecutor(nodePlatform(), program, file, options(simd, threads));
          expect(wasm.kernels.decode.at(-1)).toBe(`tender_linear_${given.kernel}_row`);
          expect(wasm.kernels.batch.at(-1)).toBe(`tender_linear_${given.kernel}_tile`);
          const expected = await run(reference);
          expect(expected.some((value) => value !== 0)).toBe(true);
          expect(await run(wasm)).toEqual(expected);
        } finally {
          await wasm?.dispose();
          await reference.dispose();
        }
      });
    });
  }
}
