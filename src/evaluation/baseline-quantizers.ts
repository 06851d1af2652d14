/**
 * The quantizers that Tender is compared with, emulated: integers are computed and at once turned back into
 * floats, and a float product follows. Sources: per-column absmax (the bound in Tender's own tables);
 * SmoothQuant (arXiv 2211.10438), migration strength 1/2, per-token activations, weights per output row;
 * LLM.int8() (arXiv 2208.07339), outlier columns by calibrated magnitude in 16-bit floats; plain groups along
 * the input with 16-bit scales.
 * Invariant: a baseline never sees the text it is scored on.
 */
import { type ChannelRange, channelMagnitudes } from "../methods/tender/grouping.ts";
import { codeLimit, rowCodes } from "../methods/tender/codes.ts";
import { float16ToFloat32, float32ToFloat16 } from "../quantization/float16.ts";
import { roundHalfEven } from "../quantization/half-even.ts";

/** What a baseline makes of one input and the weights that read it. */
export interface EmulatedInput {
  /** x [rows, width] to its quantized values, in the space that `weightRow` expects. */
  readonly activations: (x: Float32Array, rows: number) => Float32Array;
  /** A weight row as the quantized product would use it. */
  readonly weightRow: (row: Float32Array) => Float32Array;
  /** Bits of storage of a weight row. */
  readonly rowBits: number;
}

/**
 * What is known of an input: calibrated ranges, and the largest weight magnitude per column over its linears.
 */
export interface InputFacts {
  readonly range: ChannelRange;
  readonly columnMaxima: Float64Array;
  readonly bits: { readonly weights: number; readonly activations: number };
}

export type Baseline = (facts: InputFacts) => EmulatedInput;

const SCALE_BITS = 32;

/** Static scale per channel; no integer pipeline can use it without a float rescale inside the sum. */
export const perColumn: Baseline = ({ range, bits }) => {
  const limit = codeLimit(bits.activations);
  const scales = channelMagnitudes(range).map((magnitude) => magnitude / limit);
  return {
    activations: (x) =>
      x.map((value, i) => {
        const scale = scales[i % scales.length];
        const code = scale === 0 ? 0 : roundHalfEven(value / scale);
        return Math.max(-limit, Math.min(limit, code)) * scale;
      }),
    weightRow: (row) => quantizedRow(row, bits.weights),
    rowBits: scales.length * bits.weights + SCALE_BITS,
  };
};

/**
 * Moves activation range into the weights by s_j = max|x_j|^(1/2) / max|w_j|^(1/2),
 * then quantizes both plainly.
 */
export const smoothQuant: Baseline = ({ range, columnMaxima, bits }) => {
  const factors = channelMagnitudes(range).map((magnitude, j) => {
    const factor = Math.sqrt(magnitude) / Math.sqrt(columnMaxima[j]);
    return Number.isFinite(factor) && factor > 0 ? factor : 1;
  });
  const width = factors.length;
  return {
    activations: (x, rows) => {
      const smooth = x.map((value, i) => value / factors[i % width]);
      for (let t = 0; t < rows; t++)
        quantizeToken(smooth.subarray(t * width, (t + 1) * width), bits.activations);
      return smooth;
    },
    weightRow: (row) =>
      quantizedRow(
        row.map((value, j) => value * factors[j]),
        bits.weights,
      ),
    rowBits: width * bits.weights + SCALE_BITS,
  };
};

/** Columns whose calibrated magnitude reaches this stay in 16-bit floats: the paper's threshold. */
const OUTLIER_MAGNITUDE = 6;

/** Outlier columns in 16-bit floats on both sides, the rest in integers per token and per row. */
export const outlierSplit: Baseline = ({ range, bits }) => {
  const outlier = Array.from(channelMagnitudes(range), (magnitude) => magnitude >= OUTLIER_MAGNITUDE);
  const width = outlier.length;
  const split = (row: Float32Array, quantize: (row: Float32Array) => Float32Array) => {
    const inner = quantize(row.map((value, j) => (outlier[j] ? 0 : value)));
    return inner.map((value, j) => (outlier[j] ? float16ToFloat32(float32ToFloat16(row[j])) : value));
  };
  const outliers = outlier.filter(Boolean).length;
  return {
    activations: (x, rows) => {
      const result = new Float32Array(rows * width);
      for (let t = 0; t < rows; t++) {
        const row = x.subarray(t * width, (t + 1) * width);
        result.set(
          split(row, (inner) => quantizeToken(inner, bits.activations)),
          t * width,
        );
      }
      return result;
    },
    weightRow: (row) => split(row, (inner) => quantizedRow(inner, bits.weights)),
    rowBits: (width - outliers) * bits.weights + outliers * 16 + SCALE_BITS,
  };
};

/** Weights in groups of `size` columns with a 16-bit scale each; activations untouched. */
export function inputGroups(size: number): Baseline {
  return ({ range, bits }) => {
    const width = range.maxima.length;
    return {
      activations: (x) => x,
      weightRow: (row) => {
        const result = new Float32Array(width);
        for (let first = 0; first < width; first += size) {
          const group = row.subarray(first, Math.min(width, first + size));
          const limit = codeLimit(bits.weights);
          const scale = float16ToFloat32(float32ToFloat16(largestMagnitude(group) / limit));
          group.forEach((value, j) => {
            const code = scale === 0 ? 0 : roundHalfEven(value / scale);
            result[first + j] = Math.max(-limit, Math.min(limit, code)) * scale;
          });
        }
        return result;
      },
      rowBits: width * bits.weights + Math.ceil(width / size) * 16,
    };
  };
}

function quantizedRow(row: Float32Array, bits: number): Float32Array {
  const { codes, scale } = rowCodes(row, codeLimit(bits));
  return Float32Array.from(codes, (code) => code * scale);
}

/** In place, one scale for the token. */
function quantizeToken(row: Float32Array, bits: number): Float32Array {
  const scale = largestMagnitude(row) / codeLimit(bits);
  for (let j = 0; j < row.length; j++) row[j] = scale === 0 ? 0 : roundHalfEven(row[j] / scale) * scale;
  return row;
}

function largestMagnitude(row: Float32Array): number {
  let largest = 0;
  for (let j = 0; j < row.length; j++) largest = Math.max(largest, Math.abs(row[j]));
  return largest;
}
