/**
 * What the memory simulator replays: for every generated token, layer and hook of a gated MLP either the scores |x|
 * of all columns or the columns that the run selected. Scores allow any density and gamma afterwards, selections only
 * those of the run. Prompt tokens run dense and are not part of a trace.
 */
import type { SelectionTrace } from "../../offload/eviction.ts";
import type { TransformerShape } from "../model-shapes.ts";
import type { Hook } from "./memory-plan.ts";

export const TRACE_CONTENTS = ["scores", "columns"] as const;
export type TraceContent = (typeof TRACE_CONTENTS)[number];

export interface TraceHeader {
  readonly shape: TransformerShape;
  readonly content: TraceContent;
  /** Where the numbers come from, shown beside every result made of them. */
  readonly origin: string;
  /** Sequences were generated independently: caches start empty at each. */
  readonly sequences: readonly { readonly promptTokens: number; readonly tokens: number }[];
}

/** One hook of one layer over one sequence. */
export type HookTrace =
  | {
      readonly content: "scores";
      /** [tokens, columns], finite, not negative */
      readonly scores: Float32Array;
    }
  | { readonly content: "columns"; readonly selections: SelectionTrace };

export interface ColumnTrace {
  readonly header: TraceHeader;
  /** Throws FormatError when stored numbers are damaged. */
  readHook(sequence: number, layer: number, hook: Hook): Promise<HookTrace>;
}

/** Columns of a hook: d for the input, f for the GLU output. */
export function hookColumns({ width, feedForwardWidth }: TransformerShape, hook: Hook): number {
  return hook === "input" ? width : feedForwardWidth;
}
