/**
 * Rounding group ranges up or down, decided by running both: the candidate with the lower loss on the first calibration
 * segment wins, one choice for the whole model. Source: the released code of Tender (arXiv 2406.12930).
 * Invariant: both candidates come from the same calibration and see the same tokens.
 */
import { OptionError } from "../../errors.ts";
import { MAX_OUTPUT_ROWS } from "../../evaluation/window-score.ts";
import { createWasmExecutor } from "../../executors/wasm/wasm-executor.ts";
import type { Executor } from "../../executors/executor.ts";
import type { ModelFile } from "../../formats/model-file.ts";
import type { Platform } from "../../platform/types.ts";
import { logProbability } from "../../session/logits.ts";
import { compressTender, type TenderOptions, type TenderResult } from "./compress.ts";
import type { Prepared } from "./prepare.ts";
import { type Segment, segmentStep } from "../calibration-segments.ts";

const ROUNDINGS = ["up", "down"] as const;

export interface RoundingSearch {
  readonly result: TenderResult;
  /** Mean negative log-likelihood of each candidate on the segment, nats per token. */
  readonly losses: Readonly<Record<(typeof ROUNDINGS)[number], number>>;
}

/** Errors are those of compressTender and of the executor; OptionError where ranges are found per token. */
export async function searchRounding(
  platform: Platform,
  base: ModelFile,
  prepared: Prepared,
  options: Omit<TenderOptions, "rounding">,
  threads: number,
): Promise<RoundingSearch> {
  if (options.activationBits === 16 || options.perToken === true) {
    throw new OptionError(
      "tender: ranges found per token have no rounding to search for - quantize activations to 8 or 4 bits",
    );
  }
  const { program, inputs, calibration, firstSegment } = prepared;
  const candidates = { up: Number.NaN, down: Number.NaN };
  let best: TenderResult | undefined;
  for (const rounding of ROUNDINGS) {
    const result = await compressTender(base, program, inputs, calibration, { ...options, rounding });
    const executor = await createWasmExecutor(platform, result.program, result.file, {
      threads,
      limits: { contextLength: firstSegment.tokens.length, slots: 1, stepTokens: MAX_OUTPUT_ROWS },
      keyValueFormat: "f32",
      weightFormat: "auto",
      simd: "auto",
      onProgress: undefined,
    });
    try {
      candidates[rounding] = await meanLoss(executor, firstSegment, options.signal);
    } finally {
      await executor.dispose();
    }
    if (best === undefined || candidates[rounding] < candidates.up) best = result;
  }
  if (best === undefined) throw new Error("tender: no rounding was tried");
  return { result: best, losses: candidates };
}

/** Mean of -ln p over all tokens of a segment but the first. */
async function meanLoss(
  executor: Executor,
  segment: Segment,
  signal: AbortSignal | undefined,
): Promise<number> {
  const width = executor.program.vocabularySize;
  let sum = 0;
  const { tokens } = segment;
  for (let first = 0; first < tokens.length - 1; first += MAX_OUTPUT_ROWS) {
    const step = segmentStep(segment, first, Math.min(first + MAX_OUTPUT_ROWS, tokens.length - 1));
    const rows = step.tokens.length;
    const logits = await executor.step({ ...step, outputs: Int32Array.from(step.tokens.keys()) }, signal);
    for (let row = 0; row < rows; row++) {
      sum -= logProbability(logits.subarray(row * width, (row + 1) * width), tokens[first + row + 1]);
    }
  }
  return sum / (tokens.length - 1);
}
