/**
 * The op of integer products with power-of-two channel exponents,
 * and what the program tools have to know about it.
 * Source: Tender, ISCA 2024 (arXiv 2406.12930), equations for the group-wise accumulation; in the closed form
 * each input channel j has a static exponent e_j = G - g(j), so that pre-shifted codes x' = code * 2^e_j need
 * no groups at run time.
 * Invariant: sum_k |x'_k| * |w_k| <= 2^31 - 1 for every output row, so a 32-bit accumulator never wraps.
 */
import { shapedWeight } from "./op-text.ts";
import type { Buffer, Weight } from "./program.ts";
import { expectEqual, type Fail } from "./shape-checks.ts";

/**
 * Scales fixed by calibration, per row chunk: chunk(position) = min(floor(position / chunkRows), chunks - 1).
 */
export interface StaticQuantizer {
  readonly kind: "static";
  /** Distinguishes the quantizers of a program; linears that share one share the prepared activations. */
  readonly name: string;
  /** Largest code magnitude before the shift: 127 or 7. */
  readonly limit: number;
  /** Largest exponent, G - 1. */
  readonly maxExponent: number;
  readonly chunks: number;
  readonly chunkRows: number;
  /** [chunks * K], subtracted from the channels; undefined for none. */
  readonly bias: Weight | undefined;
  /** [chunks * K], whole numbers 0..G-1. */
  readonly exponents: Weight;
  /** [chunks], s_G: what one unit of x' stands for. */
  readonly scales: Weight;
}

/** One scale per token, max|x| / limit, found at run time; no exponents. */
export interface DynamicQuantizer {
  readonly kind: "dynamic";
  readonly name: string;
  /** Largest code magnitude, at most 32767; below that where the accumulator needs it. */
  readonly limit: number;
}

export type ActivationQuantizer = StaticQuantizer | DynamicQuantizer;

/**
 * out[t, n] = f32(sum_k x'[t, k] * codes[n, k]) * (s[t] * scales[n]) + offset[chunk(t), n], x' [T, K]
 * integers, the sum exact in 32 bits, the rest in f32.
 */
export interface TenderLinearOp {
  readonly kind: "tenderLinear";
  readonly x: Buffer;
  /** Integers [N, K]. */
  readonly codes: Weight;
  readonly codeBits: 4 | 8;
  /** [N] */
  readonly scales: Weight;
  /**
   * [chunks * N]: channel bias times unquantized weights, plus the linear's own bias; undefined for neither.
   */
  readonly offset: Weight | undefined;
  readonly quantizer: ActivationQuantizer;
  readonly out: Buffer;
}

/** Weights in the order codes, scales, offset, tables of the quantizer. */
export function tenderWeights({ codes, scales, offset, quantizer }: TenderLinearOp): readonly Weight[] {
  const tables = quantizer.kind === "dynamic" ? [] : [quantizer.bias, quantizer.exponents, quantizer.scales];
  return [codes, scales, offset, ...tables].filter((weight) => weight !== undefined);
}

/** Bytes one token reads: all codes and scales, one chunk of everything that has chunks. */
export function tenderBytes(op: TenderLinearOp, weightBytes: (weight: Weight) => number): number {
  const chunks = op.quantizer.kind === "static" ? op.quantizer.chunks : 1;
  return tenderWeights(op).reduce(
    (sum, weight) => sum + weightBytes(weight) / (weight === op.codes || weight === op.scales ? 1 : chunks),
    0,
  );
}

/** `tenderLinear(x, codes[N,K] 8 bits, static 4 exponents of 127)` */
export function describeTenderLinear({ x, codes, codeBits, quantizer, offset }: TenderLinearOp): string {
  const chunks = quantizer.kind === "static" && quantizer.chunks > 1 ? `, chunks ${quantizer.chunks}` : "";
  const codeText =
    quantizer.kind === "static"
      ? `static codes to ${quantizer.limit} in ${quantizer.maxExponent + 1} groups${quantizer.bias === undefined ? "" : ", channel bias"}${chunks}`
      : `codes to ${quantizer.limit} per token`;
  return `tenderLinear(${x.name}, ${shapedWeight(codes)} ${codeBits} bits, ${codeText}${offset === undefined ? "" : ", offset"})`;
}

/** Reports the first relation between the op's shapes that does not hold. */
export function checkTenderLinear(op: TenderLinearOp, fail: Fail): void {
  const { x, codes, scales, offset, quantizer, out } = op;
  const chunks = quantizer.kind === "static" ? quantizer.chunks : 1;
  expectEqual("x width", x.width, codes.columns, fail);
  expectEqual("out width", out.width, codes.rows, fail);
  expectEqual("out rows", out.rows, x.rows, fail);
  expectEqual("scales", scales.rows * scales.columns, codes.rows, fail);
  if (offset !== undefined) expectEqual("offset", offset.columns, chunks * codes.rows, fail);
  if (quantizer.kind === "static") {
    const { bias, exponents, scales: steps } = quantizer;
    expectEqual("exponents", exponents.columns, chunks * x.width, fail);
    if (bias !== undefined) expectEqual("channel bias", bias.columns, chunks * x.width, fail);
    expectEqual("activation scales", steps.columns, chunks, fail);
  }
  const largest = quantizer.limit * 2 ** (quantizer.kind === "static" ? quantizer.maxExponent : 0);
  if (largest > 32767) fail(`shifted codes reach ${largest}, expected at most 32767 (16 bits)`);
}
