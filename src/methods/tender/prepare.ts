/**
 * The offline part from end to end, short of writing: tokenizes calibration text, runs the original model over it on the
 * wasm executor and keeps what compression needs. One calibration serves any number of settings with the same chunks.
 */
import { UnsupportedError } from "../../errors.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import { sha256 } from "../../platform/digest.ts";
import type { Platform } from "../../platform/types.ts";
import type { Program } from "../../program/program.ts";
import { createSegmentExecutor, readSegments, type Segment } from "../calibration-segments.ts";
import { loadRecipeProgram } from "../recipes.ts";
import { type Calibration, calibrate, type ObservedInput, observeInputs } from "./calibration.ts";
import type { TenderRecipe } from "./recipe.ts";

export interface PrepareOptions {
  readonly chunkRows: number | undefined;
  /** Tokens per segment; at most what the model's context allows. */
  readonly segmentTokens: number;
  readonly maxSegments: number;
  /** The text is JSON lines of prompt and answer, a segment each, instead of running text. */
  readonly examples?: boolean | undefined;
  readonly threads: number;
  /** Whether what attention reads is calibrated too. */
  readonly attention?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneTokens: number, totalTokens: number) => void) | undefined;
}

export interface Prepared {
  readonly program: Program;
  readonly inputs: readonly ObservedInput[];
  readonly calibration: Calibration;
  /** The first calibration segment, on which roundings are compared. */
  readonly firstSegment: Segment;
  readonly facts: NonNullable<TenderRecipe["calibration"]>;
}

/** Tokens per step: bounds the memory for the copies of all activations. */
const STEP_TOKENS = 128;

/** OptionError for text that cannot calibrate; otherwise the errors of loading and running a model. */
export async function prepareTender(
  platform: Platform,
  file: ModelFile,
  text: string,
  options: PrepareOptions,
): Promise<Prepared> {
  const { program } = await loadRecipeProgram(file);
  const segmentTokens = Math.min(options.segmentTokens, program.contextLength);
  const segments = await readSegments(file, text, { ...options, segmentTokens });
  const observed = observeInputs(program, options.attention);
  if (observed.inputs.length === 0) {
    throw new UnsupportedError(
      `${file.name}: has no linear layers left to quantize - compress the original checkpoint`,
    );
  }
  const { threads } = options;
  const executor = await createSegmentExecutor(platform, observed.program, file, {
    segments,
    threads,
    stepTokens: STEP_TOKENS,
  });
  try {
    const { chunkRows, signal, onProgress } = options;
    const calibration = await calibrate(executor, [...observed.inputs, ...observed.operands], {
      segments,
      chunkRows,
      signal,
      onProgress,
    });
    const tokens = segments.reduce((sum, { tokens: { length } }) => sum + length, 0);
    const facts = { textSha256: await sha256(text), tokens, segments: segments.length, segmentTokens };
    return { program, inputs: observed.inputs, calibration, firstSegment: segments[0], facts };
  } finally {
    await executor.dispose();
  }
}
