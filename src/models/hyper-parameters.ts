/**
 * The numbers that fix a model's shape, as parsed and checked from a GGUF file's metadata or a config.json.
 * Limits exist so that a damaged file is refused by name instead of exhausting memory; each is far above any
 * published model. Invariant: once parsed, all fields are consistent with each other.
 */
import { FormatError } from "../errors.ts";
import type { Activation } from "../program/program.ts";
import type { RotaryParameters, RotaryScaling } from "./rotary.ts";

export const MAX_LAYERS = 4096;
export const MAX_WIDTH = 1 << 20; // hidden and feed-forward widths
export const MAX_HEADS = 1 << 14;
export const MAX_HEAD_WIDTH = 1 << 13;
export const MAX_VOCABULARY = 1 << 24;
export const MAX_CONTEXT = 2 ** 31 - 1; // positions are 32-bit integers

export interface HyperParameters {
  /** skim's name of the family that runs the model. */
  readonly family: string;
  readonly layers: number;
  /** D */
  readonly width: number;
  /** F */
  readonly feedForwardWidth: number;
  /** H */
  readonly heads: number;
  /** K */
  readonly kvHeads: number;
  /** d */
  readonly headWidth: number;
  /** V */
  readonly vocabularySize: number;
  /** Longest context the checkpoint states, in tokens. */
  readonly contextLength: number;
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** Logits use the embedding table. */
  readonly tiedHead: boolean;
  readonly rotary: RotaryParameters;
  /** Attention window of each layer in positions, undefined where a layer sees everything. */
  readonly windows: readonly (number | undefined)[];
}

/** Throws FormatError naming the first relation between fields that does not hold. */
export function checkConsistency(source: string, parameters: HyperParameters): void {
  const { heads, kvHeads, headWidth, rotary } = parameters;
  if (heads % kvHeads !== 0) {
    throw new FormatError(
      `${source}: attention heads, expected a multiple of the ${kvHeads} key/value heads, got ${heads} - the file is damaged or not a supported model`,
    );
  }
  if (rotary.width % 2 !== 0 || rotary.width < 2 || rotary.width > headWidth) {
    throw new FormatError(
      `${source}: rotary width, expected an even number from 2 to the head width ${headWidth}, got ${rotary.width} - the file is damaged or not a supported model`,
    );
  }
  if (!(rotary.base > 1) || !Number.isFinite(rotary.base) || !Number.isFinite(rotary.magnitude)) {
    throw new FormatError(
      `${source}: rotary base and magnitude, expected finite numbers with a base above 1, got ${rotary.base} and ${rotary.magnitude} - the file is damaged`,
    );
  }
  if (rotary.divisors !== undefined && rotary.divisors.length !== rotary.width / 2) {
    throw new FormatError(
      `${source}: rotary factors, expected ${rotary.width / 2}, got ${rotary.divisors.length} - the file is damaged`,
    );
  }
}

/** YaRN stretches the original context by its factor, whether or not the stated context already says so. */
export function usableContext(stated: number, scaling: RotaryScaling): number {
  if (scaling.kind !== "yarn") return stated;
  return Math.min(MAX_CONTEXT, Math.max(stated, Math.floor(scaling.factor * scaling.originalContextLength)));
}

/** Width of one head where the file does not state it: width / heads, which must divide evenly. */
export function deriveHeadWidth(source: string, width: number, heads: number): number {
  if (width % heads !== 0) {
    throw new FormatError(
      `${source}: model width, expected a multiple of the ${heads} attention heads, got ${width} - the file is damaged`,
    );
  }
  return width / heads;
}
