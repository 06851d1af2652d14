/**
 * The rows of `skim eval quantization`: what is stored in how many bits, and whether the engine runs it as
 * such (kernels and speed) or only emulates its rounding (quality alone).
 */
import { DEFAULT_GROUPS } from "../methods/tender/codes.ts";
import type { ExecutorOptions } from "../executors/executor.ts";
import type { TenderOptions } from "../methods/tender/compress.ts";
import { type Baseline, inputGroups, outlierSplit, perColumn, smoothQuant } from "./baseline-quantizers.ts";

interface SchemeBase {
  readonly name: string;
  readonly weightBits: number;
  readonly activationBits: number;
}

/** A storage of the engine itself. */
export interface EngineScheme extends SchemeBase {
  readonly kind: "engine";
  readonly weightFormat: ExecutorOptions["weightFormat"];
}

/** A setting of the tenderLinear pipeline. */
export interface TenderScheme extends SchemeBase {
  readonly kind: "tender";
  readonly options: Pick<TenderOptions, "groups" | "channelBias"> & { readonly perToken?: boolean };
  /** Ranges per chunk of rows instead of one for all positions. */
  readonly chunked: boolean;
}

export interface EmulatedScheme extends SchemeBase {
  readonly kind: "emulated";
  readonly baseline: Baseline;
}

export type Scheme = EngineScheme | TenderScheme | EmulatedScheme;

function engine(
  name: string,
  weightFormat: EngineScheme["weightFormat"],
  weightBits: number,
  activationBits: number,
): EngineScheme {
  return { kind: "engine", name, weightFormat, weightBits, activationBits };
}

function emulated(
  name: string,
  baseline: Baseline,
  weightBits: number,
  activationBits: number,
): EmulatedScheme {
  return { kind: "emulated", name, baseline, weightBits, activationBits };
}

function tender(
  name: string,
  weightBits: 4 | 8,
  activationBits: 4 | 8 | 16,
  options: Partial<TenderScheme["options"]> = {},
  chunked = false,
): TenderScheme {
  const groups = DEFAULT_GROUPS[activationBits];
  return {
    kind: "tender",
    name,
    weightBits,
    activationBits,
    options: { groups, channelBias: true, ...options },
    chunked,
  };
}

const PLAIN = { groups: 1, channelBias: false };

/**
 * Every scheme, the float model first. The engine's own block
 * formats round activations to 16 and 8 bits per token.
 */
export const SCHEMES: readonly Scheme[] = [
  engine("f32", "f32", 32, 32),
  engine("engine q8, blocks of 32", "q8", 8.5, 16),
  engine("engine q4, blocks of 32", "q4", 4.5, 8),
  tender("per tensor W8A8", 8, 8, PLAIN),
  tender("per token W8A8", 8, 8, { ...PLAIN, perToken: true }),
  emulated("per column W8A8", perColumn, 8, 8),
  emulated("SmoothQuant W8A8", smoothQuant, 8, 8),
  emulated("LLM.int8() split W8A8", outlierSplit, 8, 8),
  tender("Tender W8A8 flat", 8, 8),
  tender("Tender W8A8 chunked", 8, 8, {}, true),
  tender("Tender W4A8 flat", 4, 8),
  tender("per tensor W4A4", 4, 4, PLAIN),
  tender("per token W4A4", 4, 4, { ...PLAIN, perToken: true }),
  emulated("per column W4A4", perColumn, 4, 4),
  emulated("SmoothQuant W4A4", smoothQuant, 4, 4),
  tender("Tender W4A4 flat", 4, 4),
  tender("Tender W4A4 chunked", 4, 4, {}, true),
  tender("weights only W4A16", 4, 16),
  emulated("groups of 32 W4A16", inputGroups(32), 4.5, 16),
  emulated("groups of 64 W4A16", inputGroups(64), 4.25, 16),
  emulated("groups of 128 W4A16", inputGroups(128), 4.125, 16),
];
