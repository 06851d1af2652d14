/**
 * Case rows of tenderLinear: both widths of codes with every kind of activations they meet, odd shapes,
 * chunks of rows, columns stored in the order of channel groups, offsets, and accumulators that end just
 * below 2^31 on either side.
 * Invariant: integers leave no excuse, so every bound is 0.
 */
import type { ActivationQuantizer, Buffer, TenderLinearOp } from "../../program/program.ts";
import { i4 } from "../../quantization/i4.ts";
import { i8 } from "../../quantization/i8.ts";
import { CaseBuilder, INPUT_COUNT, statelessSteps, tokenBuffer } from "../case-builder.ts";
import type { CaseStep, KernelCase } from "../kernel-case.ts";

/** Ranges found per token, up to `limit`. */
interface PerToken {
  readonly limit: number;
}

/** Static ranges in `groups` channel groups, with or without channel bias. */
interface Static {
  readonly limit: number;
  readonly groups: number;
  readonly chunks: number;
  readonly bias: boolean;
  /** Exponents that kinds of columns have in each chunk; without them every column has any in every chunk. */
  readonly kinds?: readonly (readonly number[])[];
}

interface Setting {
  readonly codeBits: 4 | 8;
  readonly activations: PerToken | Static;
  readonly kernel: "t8_t16" | "t4_t16" | "t4_split" | "t4_t8";
}

const SETTINGS: readonly Setting[] = [
  { codeBits: 8, activations: { limit: 127, groups: 9, chunks: 1, bias: true }, kernel: "t8_t16" },
  { codeBits: 8, activations: { limit: 7, groups: 13, chunks: 3, bias: false }, kernel: "t8_t16" },
  // Codes that may be added up, which batches then multiply in pairs; the largest that may; and beyond.
  { codeBits: 8, activations: { limit: 127, groups: 8, chunks: 3, bias: true }, kernel: "t8_t16" },
  { codeBits: 8, activations: { limit: 16383 }, kernel: "t8_t16" },
  { codeBits: 8, activations: { limit: 20000 }, kernel: "t8_t16" },
  { codeBits: 4, activations: { limit: 127, groups: 8, chunks: 3, bias: true }, kernel: "t4_split" },
  { codeBits: 4, activations: { limit: 32639 }, kernel: "t4_split" },
  { codeBits: 4, activations: { limit: 32767 }, kernel: "t4_t16" },
  { codeBits: 4, activations: { limit: 7, groups: 5, chunks: 3, bias: true }, kernel: "t4_t8" },
  { codeBits: 4, activations: { limit: 127, groups: 1, chunks: 1, bias: false }, kernel: "t4_t8" },
  { codeBits: 4, activations: { limit: 127 }, kernel: "t4_t8" },
];

const SHAPES = [
  [1, 2],
  [7, 34],
  [8, 32],
  [17, 172],
  [40, 38],
  // More panels than a thread multiplies between two looks at the abort flag:
  // sums of activations outlive the first call.
  [300, 64],
  [57, 1030],
] as const;

/**
 * 4-bit codes in channel groups beyond a byte, with shapes in
 * which filling groups up to blocks is worth it or is not.
 */
const GROUPED: readonly (Setting & { readonly shape: readonly [number, number] })[] = [
  // Eight groups of some 125 columns, filled up to 128 or 160.
  grouped([40, 1000], { limit: 127, groups: 8, bias: true, kinds: [[7, 6, 5, 4, 3, 2, 1, 0]] }),
  // Exponents that skip values; padding in every group.
  grouped([17, 350], { limit: 127, groups: 9, bias: false, kinds: [[8, 3, 0]] }),
  // Columns that are together in every chunk, under exponents of its own.
  grouped([25, 300], {
    limit: 127,
    groups: 8,
    bias: true,
    kinds: [
      [7, 1],
      [2, 2],
      [0, 5],
    ],
  }),
  grouped([8, 34], { limit: 127, groups: 5, bias: true, kinds: [[4]] }),
  grouped([9, 320], { limit: 7, groups: 13, bias: true, kinds: [[12, 6, 0]] }),
  // Three groups of 64 columns would take three blocks instead of two.
  grouped([24, 64], { limit: 127, groups: 8, bias: true, kinds: [[7, 3, 0]] }, "t4_split"),
  grouped([7, 34], { limit: 7, groups: 6, bias: false, kinds: [[5, 4, 3, 2, 1, 0]] }, "t4_split"),
];

function grouped(
  shape: readonly [number, number],
  given: Omit<Static, "chunks" | "kinds"> & Required<Pick<Static, "kinds">>,
  kernel: Setting["kernel"] = "t4_t8",
) {
  return { codeBits: 4 as const, activations: { ...given, chunks: given.kinds.length }, kernel, shape };
}

/** Positions that share a range, so that a step of five tokens sees three chunks. */
const CHUNK_ROWS = 2;

export function tenderLinearCases(): readonly KernelCase[] {
  return [
    ...SETTINGS.flatMap((setting) => SHAPES.map((shape, i) => shapeCase(setting, shape, i % 2 === 0))),
    // So wide that a batch takes several passes (passTokens of executors/wasm/tender-layout.ts).
    shapeCase({ codeBits: 8, activations: { limit: 127 }, kernel: "t8_t16" }, [25, 45_000], true),
    ...SETTINGS.filter(({ activations }) => "chunks" in activations && activations.chunks > 1).map(
      outputsCase,
    ),
    ...GROUPED.map((given, i) => shapeCase(given, given.shape, i % 2 === 0)),
    // 1040 * 127 * 2^7 * 127, 9362 * 32767 * 7 and 9398 * 32639 * 7: one column more would pass 2^31 - 1.
    boundCase("t8_t16", { codeBits: 8, columns: 1040, limit: 127, exponents: () => 7 }),
    boundCase("t4_t16", { codeBits: 4, columns: 9362, limit: 32767, exponents: () => 0 }),
    boundCase("t4_split", { codeBits: 4, columns: 9398, limit: 32639, exponents: () => 0 }),
    boundCase("t4_t8", { codeBits: 4, columns: 1030, limit: 127, exponents: () => 0 }),
    // (18871 * 2^7 + 129) * 127 * 7 in two groups: no column more.
    boundCase("t4_t8", {
      codeBits: 4,
      columns: 19000,
      limit: 127,
      exponents: (column) => (column > 0 && column % 147 === 0 ? 0 : 7),
    }),
  ];
}

function names(kernel: Setting["kernel"]) {
  return { decode: `tender_linear_${kernel}_row`, batch: `tender_linear_${kernel}_tile` };
}

function shapeCase(
  setting: Setting,
  [rows, columns]: readonly [number, number],
  hasOffset: boolean,
): KernelCase {
  const builder = new CaseBuilder(`${describe(setting)} [${rows}, ${columns}]`);
  const x = builder.input("x", builder.inputRows(columns), columns);
  const out = tokenBuffer("out", rows);
  builder.test(linear(builder, setting, x, out, hasOffset));
  return builder.finish(out, { kernel: names(setting.kernel), bound: 0, steps: tenderSteps() });
}

/** Rows of outputs, of which a step may want none; each has the chunk of its own position. */
function outputsCase(setting: Setting): KernelCase {
  const [rows, columns] = [9, 40];
  const builder = new CaseBuilder(`${describe(setting)} of the wanted rows`);
  const x = builder.input("x", builder.inputRows(columns), columns);
  const selected = { name: "selected", width: columns, rows: "outputs" } as const;
  const out = { name: "out", width: rows, rows: "outputs" } as const;
  builder.push({ kind: "selectOutputs", x, out: selected });
  builder.test(linear(builder, setting, selected, out, true));
  return builder.finish(out, {
    kernel: names(setting.kernel),
    bound: 0,
    steps: tenderSteps(),
    // Storage that is asked for is that of floats; codes stay what they are.
    weightFormat: "f32",
  });
}

function describe({ codeBits, activations }: Setting): string {
  return `tenderLinear W${codeBits} ${JSON.stringify(activations)}`;
}

function linear(
  builder: CaseBuilder,
  { codeBits, activations }: Setting,
  x: Buffer,
  out: Buffer,
  hasOffset: boolean,
): TenderLinearOp {
  const [rows, columns] = [out.width, x.width];
  const random = (stream: string, count: number) => builder.random(stream, count);
  const quantizer = buildQuantizer(builder, activations, columns);
  const chunks = quantizer.kind === "static" ? quantizer.chunks : 1;
  const most = codeBits === 8 ? 127 : 7;
  const codes = random("codes", rows * columns).map((value) =>
    Math.max(-most, Math.min(most, Math.round((value * most) / 2))),
  );
  return {
    kind: "tenderLinear",
    x,
    codes: builder.matrix("codes", rows, columns, codeBits === 8 ? i8 : i4, codes),
    codeBits,
    scales: builder.vector("scales", random("scales", rows).map(Math.abs)),
    offset: hasOffset ? builder.vector("offset", random("offset", chunks * rows)) : undefined,
    quantizer,
    out,
  };
}

/** The usual steps, and whole pairs of tiles that begin amid a chunk of rows. */
function tenderSteps(): CaseStep[] {
  const batch = (count: number, first: number): CaseStep => {
    const rows = Int32Array.from({ length: count }, (_, row) => row);
    return {
      tokens: rows.map((row) => (row * 5) % INPUT_COUNT),
      positions: rows.map((row) => first + row),
      slots: new Int32Array(count),
      outputs: rows.filter((row) => row !== 1),
    };
  };
  return [...statelessSteps(), batch(16, 5), batch(40, 7)];
}

function buildQuantizer(
  builder: CaseBuilder,
  activations: PerToken | Static,
  columns: number,
): ActivationQuantizer {
  if (!("groups" in activations)) return { kind: "dynamic", name: "per token", limit: activations.limit };
  const { limit, groups, chunks, bias, kinds } = activations;
  const exponents = builder
    .random("exponents", chunks * columns)
    .map((value) => Math.min(groups - 1, Math.floor(Math.abs(value) * groups)));
  kinds?.forEach((kind, chunk) => {
    const scattered = Float32Array.from(
      { length: columns },
      (_, column) => kind[(column * 5 + (column >> 3)) % kind.length],
    );
    exponents.set(scattered, chunk * columns);
  });
  return {
    kind: "static",
    name: "input",
    limit,
    maxExponent: groups - 1,
    chunks,
    chunkRows: CHUNK_ROWS,
    bias: bias ? builder.vector("bias", builder.random("bias", chunks * columns)) : undefined,
    exponents: builder.matrix("exponents", 1, exponents.length, i8, exponents),
    scales: builder.vector(
      "input scales",
      Float32Array.from({ length: chunks }, (_, chunk) => (3 + chunk) / 2 ** (groups - 1) / limit),
    ),
  };
}

/**
 * All codes as large as they get: rows of largest, smallest and alternating weights, tokens of either sign.
 */
function boundCase(
  kernel: Setting["kernel"],
  given: {
    readonly codeBits: 4 | 8;
    readonly columns: number;
    readonly limit: number;
    readonly exponents: (column: number) => number;
  },
): KernelCase {
  const { codeBits, columns, limit } = given;
  const exponents = Float32Array.from({ length: columns }, (_, column) => given.exponents(column));
  const rows = 17;
  const builder = new CaseBuilder(`tenderLinear ${kernel} at the accumulator's bound, ${columns} columns`);
  const most = codeBits === 8 ? 127 : 7;
  const codes = Float32Array.from({ length: rows * columns }, (_, i) => {
    const row = Math.floor(i / columns);
    return row % 3 === 0 ? most : row % 3 === 1 ? -most : i % 2 === 0 ? most : -most;
  });
  const inputs = Float32Array.from({ length: INPUT_COUNT * columns }, (_, i) => {
    const token = Math.floor(i / columns);
    return token % 3 === 0 ? 1e6 : token % 3 === 1 ? -1e6 : i % 2 === 0 ? 1e6 : -1e6;
  });
  const x = builder.input("x", inputs, columns);
  const out = tokenBuffer("out", rows);
  builder.test({
    kind: "tenderLinear",
    x,
    codes: builder.matrix("codes", rows, columns, codeBits === 8 ? i8 : i4, codes),
    codeBits,
    scales: builder.vector("scales", new Float32Array(rows).fill(1)),
    offset: undefined,
    quantizer: {
      kind: "static",
      name: "input",
      limit,
      maxExponent: Math.max(...exponents),
      chunks: 1,
      chunkRows: 1,
      bias: undefined,
      exponents: builder.matrix("exponents", 1, exponents.length, i8, exponents),
      scales: builder.vector("input scales", Float32Array.of(1)),
    },
    out,
  });
  return builder.finish(out, { kernel: names(kernel), bound: 0, steps: statelessSteps() });
}
