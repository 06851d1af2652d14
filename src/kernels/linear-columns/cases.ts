/**
 * Case rows of column selection and of products over chosen columns: every storage, odd shapes, one and two parts, none,
 * some and all columns chosen, ties (inputs of one magnitude), thresholds that inputs equal exactly.
 */
import type { ColumnPart, Selection, SelectionRule } from "../../program/column-ops.ts";
import type { Weight } from "../../program/program.ts";
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import type { KernelCase, KernelNames } from "../kernel-case.ts";

/** One chain of f32 multiply-adds. */
const FLOAT_BOUND = 1e-5;
/** Columns kept in 8 bits, beside f32. */
const ENCODED_BOUND = 0.03;
/** 4 bits with a scale per 32 rows of a column. */
const Q4_BOUND = 0.25;
/** The arithmetic of 8-bit columns alone: README.md derives it. */
const PRODUCT_BOUND = 0.006;
/** The same of 4-bit columns, whose inputs have 8 bits. */
const Q4_PRODUCT_BOUND = 0.03;

const SHAPES = [
  [1, 1],
  [7, 5],
  [9, 100],
  [40, 33],
  [20, 172],
  [67, 64],
] as const;

interface Storage {
  readonly format: WeightFormat;
  readonly weightFormat: KernelCase["weightFormat"];
  readonly name: string;
  /** Where it is not named like the one for chosen columns. */
  readonly batch?: string;
  readonly bound: number;
}

const STORAGES: readonly Storage[] = [
  { format: f32, weightFormat: "auto", name: "f32_f32", bound: FLOAT_BOUND },
  { format: f16, weightFormat: "auto", name: "f16_f32", bound: FLOAT_BOUND },
  { format: bf16, weightFormat: "auto", name: "bf16_f32", bound: FLOAT_BOUND },
  { format: f32, weightFormat: "q8", name: "q8_i16", bound: ENCODED_BOUND },
  { format: f32, weightFormat: "q4", name: "q4_i8", batch: "linear_f32_f32_tile", bound: Q4_BOUND },
];

export function linearColumnsCases(): readonly KernelCase[] {
  return [
    ...STORAGES.flatMap((storage) =>
      SHAPES.flatMap(([rows, columns]) => [
        productCase(storage, rows, columns, top(Math.ceil(columns / 2)), 1),
        productCase(storage, rows, columns, top(Math.ceil(columns / 3)), 2),
      ]),
    ),
    ...[
      [34, 70, 60],
      [130, 172, 172],
      [16, 12_900, 12_900],
    ].flatMap(([rows, columns, kept]) => [
      exactCodesCase("q8", rows, columns, kept),
      exactCodesCase("q4", rows, columns, kept),
    ]),
    ...STORAGES.flatMap((storage) => [0, 31, 32].map((kept) => productCase(storage, 24, 32, top(kept), 1))),
    ...[0, 1, 5, 36, 37].map((kept) => selectionCase("select_top_f32", top(kept), 37)),
    ...[0, 1e-21, 0.7, 2.5, 1e9].map((threshold) =>
      selectionCase("select_above_f32", { kind: "threshold", threshold }, 37),
    ),
    ...[0, 1, 5, 36, 37].flatMap((kept) =>
      [0, 0.4, 1e9].map((least) => selectionCase("select_top_among_f32", top(kept), 37, least)),
    ),
    ...[0, 0.7, 1e9].map((threshold) =>
      selectionCase("select_above_among_f32", { kind: "threshold", threshold }, 37, 0.4),
    ),
  ];
}

function top(count: number): SelectionRule {
  return { kind: "topK", count };
}

/** The product under test; the results of two parts are added up. */
function productCase(
  storage: Storage,
  rows: number,
  columns: number,
  rule: SelectionRule,
  partCount: 1 | 2,
): KernelCase {
  const kept = rule.kind === "topK" ? rule.count : 0;
  const builder = new CaseBuilder(
    `linearColumns ${storage.name} ${partCount} x ${rows} x ${columns}, ${kept} kept`,
  );
  const x = builder.input("x", builder.inputRows(columns), columns);
  const selection: Selection = { name: "chosen", width: columns, rule };
  builder.push({ kind: "selectColumns", x, out: selection });
  const parts = Array.from({ length: partCount }, (_, part): ColumnPart => {
    const name = `weight${part}`;
    const weight = builder.matrix(name, rows, columns, storage.format, builder.random(name, rows * columns));
    return { weight, bias: biasOf(builder, storage, part, rows), out: tokenBuffer(`out${part}`, rows) };
  });
  builder.test({ kind: "linearColumns", x, selection, parts });
  const [first, second] = parts.map(({ out }) => out);
  if (second !== undefined) builder.push({ kind: "add", a: first, b: second, out: first, factor: 1 });
  const kernel: KernelNames = {
    decode: `linear_columns_${storage.name}`,
    batch: storage.batch ?? `linear_${storage.name}_tile`,
  };
  const { bound, weightFormat } = storage;
  return builder.finish(first, { kernel, bound, weightFormat, steps: statelessSteps() });
}

/**
 * Weights that are codes already, the largest in every column and block of 32 rows, so that only inputs and products are
 * rounded. Enough columns for several chunks, in one case for more than fit 8 bits of difference between them.
 */
function exactCodesCase(storage: "q8" | "q4", rows: number, columns: number, kept: number): KernelCase {
  const [name, largest, bound] =
    storage === "q8" ? ["q8_i16", 127, PRODUCT_BOUND] : ["q4_i8", 7, Q4_PRODUCT_BOUND];
  const builder = new CaseBuilder(`linearColumns ${name} of exact codes ${rows} x ${columns}, ${kept} kept`);
  const x = builder.input("x", builder.inputRows(columns), columns);
  const selection: Selection = { name: "chosen", width: columns, rule: top(kept) };
  builder.push({ kind: "selectColumns", x, out: selection });
  const codes = builder
    .random("codes", rows * columns, 0.3 * largest)
    .map((value) => Math.max(-largest, Math.min(largest, Math.round(value))));
  for (let row = 0; row < rows; row += 32) {
    for (let column = 0; column < columns; column++) {
      const place = Math.min(rows - 1, row + (column % 32));
      codes[place * columns + column] = column % 3 === 0 ? -largest : largest;
    }
  }
  const weight = builder.matrix("weight", rows, columns, f32, codes);
  const out = tokenBuffer("out", rows);
  builder.test({ kind: "linearColumns", x, selection, parts: [{ weight, bias: undefined, out }] });
  return builder.finish(out, {
    kernel: {
      decode: `linear_columns_${name}`,
      batch: storage === "q8" ? "linear_q8_i16_tile" : "linear_f32_f32_tile",
    },
    bound,
    weightFormat: storage,
    steps: statelessSteps(),
  });
}

/** The second part has a bias; of floats only, whose sums it does not hide. */
function biasOf(builder: CaseBuilder, { name }: Storage, part: number, rows: number): Weight | undefined {
  return part === 1 && name === "f32_f32" ? builder.vector("bias", builder.random("bias", rows)) : undefined;
}

/**
 * The selection under test, seen through an identity matrix: the chosen inputs, and zeros. With `least` it chooses among
 * the inputs of at least that magnitude.
 */
function selectionCase(kernel: string, rule: SelectionRule, width: number, least?: number): KernelCase {
  const among = least === undefined ? "" : ` among those from ${least}`;
  const builder = new CaseBuilder(`selectColumns ${JSON.stringify(rule)} of ${width}${among}`);
  const x = builder.input("x", builder.inputRows(width), width);
  const earlier: Selection | undefined =
    least === undefined
      ? undefined
      : { name: "earlier", width, rule: { kind: "threshold", threshold: least } };
  if (earlier !== undefined) builder.push({ kind: "selectColumns", x, out: earlier });
  const selection: Selection = {
    name: "chosen",
    width,
    rule,
    ...(earlier === undefined ? {} : { among: earlier }),
  };
  builder.test({ kind: "selectColumns", x, out: selection });
  const identity = new Float32Array(width * width);
  for (let i = 0; i < width; i++) identity[i * width + i] = 1;
  const weight = builder.matrix("identity", width, width, f32, identity);
  const out = tokenBuffer("out", width);
  builder.push({ kind: "linearColumns", x, selection, parts: [{ weight, bias: undefined, out }] });
  return builder.finish(out, {
    kernel: { decode: kernel, batch: "none" },
    bound: 0,
    steps: statelessSteps(),
  });
}
