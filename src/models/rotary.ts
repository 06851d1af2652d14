/**
 * Rotary position embedding tables (RoPE, arXiv 2104.09864) with the scalings in use: linear interpolation,
 * Llama 3's by wavelength, YaRN (arXiv 2309.00071) and per-frequency divisors (LongRoPE, arXiv 2402.13753,
 * and the `rope_freqs` tensor of GGUF files). Every scaling ends up as inverse frequencies and one magnitude.
 * Conventions of YaRN's ramp follow transformers' modeling_rope_utils and ggml's rope, which agree.
 */
import type { RotaryTable } from "../program/program.ts";

/** Base of the frequencies where a checkpoint states none; the value of the RoPE paper. */
export const DEFAULT_ROTARY_BASE = 10000;

export type RotaryScaling =
  | { readonly kind: "none" }
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly originalContextLength: number;
      /** Rotations below which a frequency is interpolated, above which it is kept. */
      readonly betaSlow: number;
      readonly betaFast: number;
      /** Round the ramp's ends to whole dimensions. */
      readonly truncate: boolean;
    };

export interface RotaryParameters {
  readonly base: number;
  /** Leading elements of each head that are rotated, even. */
  readonly width: number;
  readonly pairing: RotaryTable["pairing"];
  /** Each inverse frequency is divided by its entry; width / 2 entries. */
  readonly divisors: readonly number[] | undefined;
  readonly scaling: RotaryScaling;
  /** Multiplies cos and sin. */
  readonly magnitude: number;
}

/** The table for one model; `name` shows in listings. */
export function buildRotaryTable(name: string, parameters: RotaryParameters): RotaryTable {
  const { base, width, divisors, scaling } = parameters;
  const plain = rotaryFrequencies(base, width).map((frequency, i) => frequency / (divisors?.[i] ?? 1));
  return {
    name,
    inverseFrequencies: scaleFrequencies(plain, base, width, scaling),
    magnitude: parameters.magnitude,
    pairing: parameters.pairing,
  };
}

/** base^(-2 i / width) for each pair i of `width` rotated elements. */
export function rotaryFrequencies(base: number, width: number): number[] {
  return Array.from({ length: width / 2 }, (_, i) => base ** ((-2 * i) / width));
}

/**
 * YaRN's attention magnitude, equation 22: 0.1 ln(s) + 1,
 * with DeepSeek's optional multiplier of the logarithm.
 */
export function yarnMagnitude(factor: number, multiplier = 1): number {
  return factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1;
}

/** LongRoPE's attention magnitude for a context extended from `original` to `extended` positions. */
export function longRopeMagnitude(original: number, extended: number): number {
  const ratio = extended / original;
  return ratio <= 1 ? 1 : Math.sqrt(1 + Math.log(ratio) / Math.log(original));
}

/** Divisors that turn plain frequencies into Llama 3's; the content of a GGUF `rope_freqs.weight`. */
export function llama3Divisors(
  frequencies: readonly number[],
  scaling: Extract<RotaryScaling, { kind: "llama3" }>,
): number[] {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling;
  return frequencies.map((frequency) => {
    const rotations = (originalContextLength * frequency) / (2 * Math.PI); // full turns in the original context
    if (rotations > high) {
      return 1;
    }
    if (rotations < low) {
      return factor;
    }
    const smooth = (rotations - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function scaleFrequencies(
  frequencies: readonly number[],
  base: number,
  width: number,
  scaling: RotaryScaling,
): readonly number[] {
  switch (scaling.kind) {
    case "none":
      return frequencies;
    case "linear":
      return frequencies.map((frequency) => frequency / scaling.factor);
    case "llama3": {
      const divisors = llama3Divisors(frequencies, scaling);
      return frequencies.map((frequency, i) => frequency / divisors[i]);
    }
    case "yarn": {
      const keep = yarnRamp(base, width, scaling);
      return frequencies.map(
        (frequency, i) => frequency * keep(i) + (frequency / scaling.factor) * (1 - keep(i)),
      );
    }
  }
}

/**
 * Share of the unscaled frequency that dimension pair i keeps: 1 for fast ones,
 * 0 for slow ones, linear between.
 */
function yarnRamp(
  base: number,
  width: number,
  scaling: Extract<RotaryScaling, { kind: "yarn" }>,
): (pair: number) => number {
  // The pair index whose frequency makes `rotations` full turns within the original context.
  const pairAt = (rotations: number) =>
    (width * Math.log(scaling.originalContextLength / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const first = pairAt(scaling.betaFast);
  const last = pairAt(scaling.betaSlow);
  const low = Math.max(scaling.truncate ? Math.floor(first) : first, 0);
  const high = Math.min(scaling.truncate ? Math.ceil(last) : last, width - 1);
  const span = Math.max(high - low, 0.001); // avoids division by zero where both ends round to one pair
  return (pair) => 1 - Math.min(1, Math.max(0, (pair - low) / span));
}
