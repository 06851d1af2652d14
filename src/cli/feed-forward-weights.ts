/** How much of the feed-forward a program reads, which the commands that write recipes report. */
import { countCost } from "../program/accounting.ts";
import type { Program } from "../program/program.ts";

/**
 * Weights of the feed-forward that one generated token reads, or one of a prompt,
 * which reads all; norms included.
 */
export function feedForwardWeights(program: Program, phase?: "prompt"): number {
  const weightBytes = (weight: { rows: number; columns: number }) => weight.rows * weight.columns;
  return countCost(program, { weightBytes, keyValueFormat: "f16", attended: 1, phase }).reads.byKind
    .feedForward;
}
