/**
 * Case rows of the tape: chains of ops that depend on each other in every way threads can get wrong, and
 * inputs of linears that change between two of them. Widths are odd so that every way of sharing out
 * work cuts differently.
 */
import type { Buffer } from "../../program/program.ts";
import { f32 } from "../../quantization/f32.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import type { WeightFormat } from "../../quantization/weight-format.ts";
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import type { KernelCase, KernelNames } from "../kernel-case.ts";

interface Kernel {
  readonly format: WeightFormat;
  readonly kernel: KernelNames;
  /** Errors of one linear, grown by those that follow. */
  readonly bound: number;
}

const KERNELS: readonly Kernel[] = [
  { format: f32, kernel: { decode: "linear_f32_f32_row", batch: "linear_f32_f32_tile" }, bound: 1e-4 },
  { format: q8_0, kernel: { decode: "linear_q8_i16_row", batch: "linear_q8_i16_tile" }, bound: 3e-3 },
  { format: q4_0, kernel: { decode: "linear_q4_i8_row", batch: "linear_q4_i8_tile" }, bound: 0.1 },
];

export function tapeCases(): readonly KernelCase[] {
  return KERNELS.flatMap((kernel) => [changedInputCase(kernel), chainCase(kernel), tiedTableCase(kernel)]);
}

/** y = A x; x += y; z = B x: the second linear must not use what was prepared for the first. */
function changedInputCase({ format, kernel, bound }: Kernel): KernelCase {
  const width = 96;
  const builder = new CaseBuilder(`tape: linear input changed in place, ${format.name}`);
  const x = normalInput(builder, "x", width);
  const weight = (name: string) =>
    builder.matrix(name, width, width, format, builder.random(name, width * width, 0.1));
  const [y, z] = [tokenBuffer("y", width), tokenBuffer("z", width)];
  builder.push({ kind: "linear", x, weight: weight("a"), bias: undefined, out: y });
  builder.push({ kind: "add", a: x, b: y, out: x, factor: 1 });
  builder.test({ kind: "linear", x, weight: weight("b"), bias: undefined, out: z });
  return builder.finish(z, { kernel, bound, steps: statelessSteps() });
}

/** One of every stateless op, twice over the same buffers, as the layers of a model use them. */
function chainCase({ format, kernel, bound }: Kernel): KernelCase {
  const [width, inner] = [64, 96];
  const builder = new CaseBuilder(`tape: two layers of ops, ${format.name}`);
  const x = normalInput(builder, "x", width);
  const [normed, gate, up, down] = [
    tokenBuffer("normed", width),
    tokenBuffer("gate", inner),
    tokenBuffer("up", inner),
    tokenBuffer("down", width),
  ];
  const norm = builder.vector("norm", builder.random("norm", width).fill(1));
  const headNorm = builder.vector("head norm", builder.random("head norm", 16).fill(0.5));
  const matrix = (name: string, rows: number, columns: number) =>
    builder.matrix(name, rows, columns, format, builder.random(name, rows * columns, columns ** -0.5));
  const table = {
    name: "rotary",
    inverseFrequencies: [1, 0.3, 0.1],
    magnitude: 1,
    pairing: "halves",
  } as const;
  for (const layer of ["first", "second"]) {
    builder.push({ kind: "rmsNorm", x, weight: norm, out: normed, epsilon: 1e-5, groups: 1 });
    builder.push({ kind: "rope", x: normed, heads: 4, headWidth: 16, table });
    builder.push({ kind: "rmsNorm", x: normed, weight: headNorm, out: normed, epsilon: 1e-5, groups: 4 });
    const linear = (name: string, from: Buffer, out: Buffer) =>
      ({
        kind: "linear",
        x: from,
        weight: matrix(`${layer} ${name}`, out.width, from.width),
        bias: undefined,
        out,
      }) as const;
    builder.push(linear("gate", normed, gate));
    builder.test(linear("up", normed, up));
    builder.push({ kind: "glu", gate, up, out: gate, activation: { kind: "silu" } });
    builder.push(linear("down", gate, down));
    builder.push({ kind: "add", a: x, b: down, out: x, factor: 0.7 });
    builder.push({ kind: "scale", x, out: x, factor: 1.3 });
  }
  return builder.finish(x, { kernel, bound, steps: statelessSteps() });
}

/** The table that embeds is also the head: one copy, read row by row and panel by panel. */
function tiedTableCase({ format, kernel, bound }: Kernel): KernelCase {
  const [vocabulary, width] = [43, 64];
  const builder = new CaseBuilder(`tape: tied table, ${format.name}`);
  const table = builder.matrix(
    "table",
    vocabulary,
    width,
    format,
    builder.random("table", vocabulary * width),
  );
  const x = tokenBuffer("x", width);
  const out = tokenBuffer("out", vocabulary);
  builder.push({ kind: "embed", table, out: x, factor: 1 });
  builder.test({ kind: "linear", x, weight: { ...table, name: "head" }, bias: undefined, out });
  return builder.finish(out, { kernel, bound, steps: statelessSteps(vocabulary) });
}

/** Inputs without outliers: chains would blow their rounding up. */
function normalInput(builder: CaseBuilder, name: string, width: number): Buffer {
  const values = builder.inputRows(width, { prefix: `${name}/` });
  const calm = builder.random(`${name}/calm`, width);
  values.set(calm, 2 * width);
  return builder.input(name, values, width);
}
