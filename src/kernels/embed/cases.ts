/**
 * Case rows of embed: every weight format a table can have in kernel memory,
 * odd widths and row counts, a factor.
 */
import { bf16 } from "../../quantization/bf16.ts";
import { f16 } from "../../quantization/f16.ts";
import { f32 } from "../../quantization/f32.ts";
import { q4_0 } from "../../quantization/q4-0.ts";
import { q8_0 } from "../../quantization/q8-0.ts";
import { formatBytes, type WeightFormat } from "../../quantization/weight-format.ts";
import { CaseBuilder, statelessSteps, tokenBuffer } from "../case-builder.ts";
import { type KernelCase, oneKernel } from "../kernel-case.ts";
import { EDGE_SCALES, scaledBlocks } from "../linear/stored-blocks.ts";

/** One multiplication by the scale, one by the factor. */
const BOUND = 2e-7;

const FORMATS: readonly (readonly [WeightFormat, string, readonly number[]])[] = [
  [f32, "embed_f32", [1, 33, 64]],
  [f16, "embed_f16", [1, 33, 64]],
  [bf16, "embed_bf16", [1, 33, 64]],
  [q8_0, "embed_q8", [32, 96]],
  [q4_0, "embed_q4", [32, 96]],
];

export function embedCases(): readonly KernelCase[] {
  return [
    ...FORMATS.flatMap(([format, kernel, widths]) =>
      widths.map((width) => formatCase(format, kernel, width)),
    ),
    ...EDGE_SCALES.flatMap((scale) => [
      edgeScaleCase(q8_0, "embed_q8", scale),
      edgeScaleCase(q4_0, "embed_q4", scale),
    ]),
    ...[0x0001, 0x83ff, 0x7bff, 0xfbff, 0x8000].map(edgeFloatCase),
  ];
}

function formatCase(format: WeightFormat, kernel: string, width: number): KernelCase {
  const rows = 13;
  const builder = new CaseBuilder(`embed ${format.name} [${rows}, ${width}]`);
  const bytes = new Uint8Array(formatBytes(format, rows * width));
  format.encode?.(builder.random("table", rows * width), bytes);
  return tableCase(builder, format, kernel, [rows, width], bytes);
}

function edgeScaleCase(format: WeightFormat, kernel: string, scale: number): KernelCase {
  const [rows, width] = [13, 64];
  const bytes = scaledBlocks(format, (rows * width) / format.blockSize, scale);
  const builder = new CaseBuilder(`embed ${format.name} scales 0x${scale.toString(16)}`);
  return tableCase(builder, format, kernel, [rows, width], bytes);
}

/** A table of one f16 bit pattern. */
function edgeFloatCase(bits: number): KernelCase {
  const [rows, width] = [9, 8];
  const bytes = new Uint8Array(new Uint16Array(rows * width).fill(bits).buffer);
  const builder = new CaseBuilder(`embed F16 values 0x${bits.toString(16)}`);
  return tableCase(builder, f16, "embed_f16", [rows, width], bytes);
}

function tableCase(
  builder: CaseBuilder,
  format: WeightFormat,
  kernel: string,
  [rows, width]: readonly [number, number],
  bytes: Uint8Array,
): KernelCase {
  const table = builder.storedMatrix("table", rows, width, format, bytes);
  const out = tokenBuffer("out", width);
  builder.test({ kind: "embed", table, out, factor: 1.7 });
  return builder.finish(out, { kernel: oneKernel(kernel), bound: BOUND, steps: statelessSteps(rows) });
}
