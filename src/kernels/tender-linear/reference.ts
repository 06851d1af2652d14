/**
 * tenderLinear in two steps, as the wasm kernels do it: activations to pre-shifted integers, then
 * the integer product and one f32 multiply per output. Source: Tender (arXiv 2406.12930), closed
 * form of the accumulation.
 * Invariant: every f32 operation is rounded where the kernels round, so results are equal bit for bit.
 */
import { roundHalfEven } from "../../quantization/half-even.ts";

const fround = Math.fround;

/** Static tables of one chunk or more; see StaticQuantizer. */
export interface StaticTables {
  readonly limit: number;
  readonly chunks: number;
  readonly chunkRows: number;
  /** [chunks, K] */
  readonly bias: Float32Array | undefined;
  readonly exponents: Float32Array;
  /** [chunks] */
  readonly scales: Float32Array;
}

/** Integers x' [rows, K], what a unit of each row stands for, and the row's chunk. */
export interface QuantizedRows {
  readonly codes: Int32Array;
  readonly scales: Float32Array;
  readonly chunks: Int32Array;
  /** Codes that reached beyond the limit and were clamped. */
  readonly clipped: number;
}

/** Row chunk of an absolute position. */
function chunkOf(
  position: number,
  { chunks, chunkRows }: Pick<StaticTables, "chunks" | "chunkRows">,
): number {
  return Math.min(Math.floor(position / chunkRows), chunks - 1);
}

/** x' = clamp(round((x - bias) / s_g), -limit, limit) * 2^e, with 1/s_g as 1/s_G times a power of two. */
export function quantizeStatic(
  x: Float32Array,
  rows: number,
  columns: number,
  positions: Int32Array,
  tables: StaticTables,
): QuantizedRows {
  const codes = new Int32Array(rows * columns);
  const scales = new Float32Array(rows);
  const chunks = new Int32Array(rows);
  let clipped = 0;
  for (let t = 0; t < rows; t++) {
    const chunk = chunkOf(positions[t], tables);
    chunks[t] = chunk;
    scales[t] = tables.scales[chunk];
    const inverse = fround(1 / scales[t]);
    for (let k = 0; k < columns; k++) {
      const channel = chunk * columns + k;
      const exponent = tables.exponents[channel];
      const centred = fround(x[t * columns + k] - (tables.bias?.[channel] ?? 0));
      const code = roundHalfEven(fround(centred * fround(inverse * 2 ** -exponent)));
      const kept = Math.max(-tables.limit, Math.min(tables.limit, code));
      if (kept !== code) clipped++;
      codes[t * columns + k] = kept * 2 ** exponent;
    }
  }
  return { codes, scales, chunks, clipped };
}

/** One scale per row: max|x| / limit. */
export function quantizeDynamic(
  x: Float32Array,
  rows: number,
  columns: number,
  limit: number,
): QuantizedRows {
  const codes = new Int32Array(rows * columns);
  const scales = new Float32Array(rows);
  for (let t = 0; t < rows; t++) {
    let largest = 0;
    for (let k = 0; k < columns; k++) largest = Math.max(largest, Math.abs(x[t * columns + k]));
    scales[t] = fround(largest / limit);
    const inverse = largest === 0 ? 0 : fround(limit / largest);
    for (let k = 0; k < columns; k++) {
      const code = roundHalfEven(fround(x[t * columns + k] * inverse));
      codes[t * columns + k] = Math.max(-limit, Math.min(limit, code));
    }
  }
  return { codes, scales, chunks: new Int32Array(rows), clipped: 0 };
}

/**
 * out[t, n] = f32(sum_k x'[t, k] * weight[n, k]) * (s[t] * rowScales[n]) + offset[chunk(t), n] for n in
 * [first, end); weight [outputs, columns] holds whole numbers.
 */
export function tenderLinear(
  out: Float32Array,
  x: QuantizedRows,
  weight: Float32Array,
  rowScales: Float32Array,
  offset: Float32Array | undefined,
  columns: number,
  outputs: number,
  range: { readonly first: number; readonly end: number },
): void {
  for (let t = 0; t < x.scales.length; t++) {
    for (let n = range.first; n < range.end; n++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += x.codes[t * columns + k] * weight[n * columns + k];
      const scaled = fround(fround(sum) * fround(x.scales[t] * rowScales[n]));
      out[t * outputs + n] = offset === undefined ? scaled : scaled + offset[x.chunks[t] * outputs + n];
    }
  }
}
